#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "ir/weight_steps.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/pointwise.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

// A factor or a summand after a layer: a weight with one element, or one per output channel.
struct Step {
  Op op = Op::mul;
  Value operand;
  friend bool operator==(const Step&, const Step&) = default;
};

// The steps after a linear layer or a convolution that it absorbs.
struct Layer {
  std::vector<Step> steps;
};

// The end of a chain that starts at a layer and has no other readers.
struct End {
  std::uint32_t layer = 0;
  bool moved = false;  // by a reshape or a permute: its channels are on another axis
};

// The axis of the output channels of a layer.
std::size_t channel_axis(const Node& layer) {
  return layer.op == Op::conv ? 1 : layer.outputs[0].shape.size() - 1;
}

bool is_layer(const Node& node) {
  return (node.op == Op::linear || node.op == Op::conv) && is_weight(node.inputs[1]) &&
         !is_coded(node.inputs[1]) &&
         (!node.inputs[2] || (is_weight(node.inputs[2]) && node.inputs[2].rank() == 1));
}

bool is_one_element(const Value& value) { return numel(value.shape()) == Dim(1); }

// Whether it has one element per index of an axis of `shape`.
bool lies_along(const Value& value, const Shape& shape, std::size_t axis) {
  const std::size_t added = shape.size() - value.shape().size();
  if (value.shape().size() > shape.size() || axis < added) return false;
  for (std::size_t i = added; i < shape.size(); ++i) {
    if (value.shape()[i - added] != (i == axis ? shape[i] : Dim(1))) return false;
  }
  return true;
}

struct Plan {
  std::map<std::uint32_t, Layer> layers;  // by node
  std::vector<bool> absorbed;             // by node: the layer computes it
};

// The constant operand of a product or sum.
std::optional<std::size_t> constant_operand(const Node& node) {
  if (node.op != Op::mul && node.op != Op::add) return {};
  for (const std::size_t i : {0, 1}) {
    if (is_weight(node.inputs[i]) && !is_weight(node.inputs[1 - i])) return i;
  }
  return {};
}

// Only layers with a factor change. A weight with other readers would be stored twice, so either all its
// readers absorb the same steps, or none does.
void drop_others(const Graph& graph, const std::vector<int>& uses, std::map<std::uint32_t, Layer>& layers) {
  std::erase_if(layers, [](const auto& entry) {
    const std::vector<Step>& steps = entry.second.steps;
    return std::none_of(steps.begin(), steps.end(), [](const Step& s) { return s.op == Op::mul; });
  });
  std::map<std::uint32_t, std::vector<std::uint32_t>> readers;  // by weight
  for (const auto& [id, layer] : layers) readers[graph.nodes()[id].inputs[1].node()->id].push_back(id);
  for (const auto& [weight, ids] : readers) {
    const auto alike = [&, first = ids.front()](std::uint32_t id) {
      return layers.at(id).steps == layers.at(first).steps;
    };
    const bool all = static_cast<int>(ids.size()) == uses[weight];
    if (all && std::all_of(ids.begin(), ids.end(), alike)) continue;
    for (const std::uint32_t id : ids) layers.erase(id);
  }
}

Plan plan_for(const Graph& graph) {
  const std::vector<int> uses = uses_of(graph);
  Plan plan{.absorbed = std::vector<bool>(graph.nodes().size())};
  std::vector<std::optional<End>> ends(graph.nodes().size());
  std::vector<std::pair<std::uint32_t, std::uint32_t>> absorbed_by;
  const auto end_of = [&](const Value& value) {
    return uses[value.node()->id] == 1 ? ends[value.node()->id] : std::nullopt;
  };
  for (const Node& node : graph.nodes()) {
    if (is_layer(node)) {
      ends[node.id] = End{node.id};
    } else if (node.op == Op::reshape || node.op == Op::permute) {
      ends[node.id] = end_of(node.inputs[0]);
      if (ends[node.id]) ends[node.id]->moved = true;
    } else if (const auto constant = constant_operand(node)) {
      const Value operand = node.inputs[*constant], x = node.inputs[1 - *constant];
      const std::optional<End> end = end_of(x);
      if (!end || x.shape() != node.outputs[0].shape) continue;
      const Node& layer = graph.nodes()[end->layer];
      const bool vector = !end->moved && lies_along(operand, x.shape(), channel_axis(layer));
      const bool number = node.op == Op::mul && is_one_element(operand);
      if (!vector && !number) continue;
      plan.layers[end->layer].steps.push_back({node.op, operand});
      ends[node.id] = end;
      absorbed_by.emplace_back(node.id, end->layer);
    }
  }
  drop_others(graph, uses, plan.layers);
  for (const auto& [node, layer] : absorbed_by) plan.absorbed[node] = plan.layers.contains(layer);
  return plan;
}

// Computes in float32, because half precision would lose precision of the checkpoint.
Weight widened(const Weight& weight) {
  if (weight.dtype() == DType::f64) return weight;
  const Weight stored = cast_of(weight);
  return (stored && is_float(stored.dtype()) ? stored : weight).cast(DType::f32);
}

// The weight and the bias of a layer after its steps.
std::pair<Weight, Weight> after(const Node& layer, const std::vector<Step>& steps) {
  Weight weight = widened(layer.inputs[1].node()->weight);
  Weight bias = layer.inputs[2] ? widened(layer.inputs[2].node()->weight) : Weight();
  const std::int64_t channels = weight.shape()[0];
  std::vector<std::int64_t> per_row(weight.shape().size(), 1);
  for (const Step& step : steps) {
    const Weight operand = widened(step.operand.node()->weight);
    if (step.op == Op::add) {
      const Weight shift = operand.reshape({channels});
      bias = bias ? shift.add(bias) : shift;
      continue;
    }
    per_row[0] = operand.numel();
    weight = weight.mul(operand.reshape(per_row));
    if (bias) bias = bias.mul(operand.reshape({operand.numel()}));
  }
  return {weight, bias};
}

}  // namespace

Graph fold_scale(Graph graph) {
  // The weights would be rounded once more. With 8 bits, that shows in the results of deep networks.
  if (graph.float_dtype() == DType::bf16) return graph;
  const Plan plan = plan_for(graph);
  if (plan.layers.empty()) return graph;
  return rebuild(std::as_const(graph), [&](Graph& result, const Node& node) -> std::vector<Value> {
    if (plan.absorbed[node.id]) return {node.inputs[is_weight(node.inputs[0]) ? 1 : 0]};
    const auto found = plan.layers.find(node.id);
    if (found == plan.layers.end()) return {};
    const Node& original = graph.nodes()[node.id];
    const auto [weight, bias] = after(original, found->second.steps);
    const DType dtype = node.outputs[0].dtype;
    const auto placed = [&](const Weight& changed, const Value& before, const char* fallback) {
      const std::string name = before ? before.node()->weight.name() : node.path + "." + fallback;
      return result.weight_as_is(changed.named(name + ".scaled").cast(dtype));
    };
    const Value kernel = placed(weight, original.inputs[1], "weight");
    const Value shift = bias ? placed(bias, original.inputs[2], "bias") : Value();
    return {op::detail::make(result, node.op, {node.inputs[0], kernel, shift}, node.attrs).out()};
  });
}

}  // namespace onnxport::pass
