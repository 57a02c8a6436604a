#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/attention.h"
#include "pass/elementwise.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

// The part of a value that a user needs: elements [begin, end) of an axis.
struct Part {
  std::size_t axis = 0;
  std::int64_t begin = 0, end = 0;
};
// Empty: the whole value.
using Need = std::optional<Part>;

// The part that covers the needs of two users.
Need both(const Need& a, const Need& b) {
  if (!a || !b || a->axis != b->axis) return {};
  return Part{a->axis, std::min(a->begin, b->begin), std::max(a->end, b->end)};
}

// The part that a slice takes, if it is known without the extents.
Need part_of(const Node& slice) {
  const Shape& range = slice.attrs.get<Shape>("range");
  const std::optional<std::int64_t> begin = range[0].constant(), end = range[1].constant();
  if (!begin || !end || *begin < 0) return {};
  return Part{static_cast<std::size_t>(slice.attrs.integer("axis")), *begin, *end};
}

// The same part of an operand that broadcasts to `shape`.
Need of_operand(const Part& part, const Shape& shape, const Value& operand) {
  const std::size_t added = shape.size() - operand.shape().size();
  if (part.axis < added || operand.shape()[part.axis - added] != shape[part.axis]) return {};
  return Part{part.axis - added, part.begin, part.end};
}

// Some queries of an attention [B, L, H * E]. They keep the order and positions that they have among all
// queries.
std::optional<std::vector<Need>> needs_of_attention(const Node& node, const Part& part) {
  const op::AttentionOperands in = op::detail::attention_operands(node);
  if (part.axis != 1 || op::detail::has_order(in.mask) || in.rope || in.past_key) return {};
  std::vector<Need> needs(node.inputs.size());
  needs[op::detail::kQuery] = part;
  const Shape scores = {in.query.dim(0), node.attrs.integer("heads"), in.query.dim(1),
                        node.outputs[1].shape[2]};
  const Part of_scores{2, part.begin, part.end};
  for (const std::size_t i : {op::detail::kVisible, op::detail::kBias}) {
    if (node.inputs[i]) needs[i] = of_operand(of_scores, scores, node.inputs[i]);
  }
  return needs;
}

// The part of each operand that a part of the result needs; nothing if the op needs more.
std::optional<std::vector<Need>> needs_of_operands(const Node& node, const Part& part) {
  const Shape& shape = node.outputs[0].shape;
  const std::size_t last = shape.size() - 1;
  std::vector<Need> needs(node.inputs.size());
  switch (node.op) {
    case Op::softmax:
    case Op::normalize:
      if (node.attrs.integer("axis") == static_cast<std::int64_t>(part.axis)) return {};
      needs[0] = part;
      return needs;
    case Op::layer_norm:
    case Op::rms_norm:
      if (part.axis == last) return {};
      needs[0] = part;
      return needs;
    case Op::linear:
      if (part.axis == last) return {};
      needs[0] = part;
      if (node.inputs[2]) needs[2] = of_operand(part, shape, node.inputs[2]);
      return needs;
    case Op::scaled_dot_product_attention:
      if (part.axis != 2) return {};
      needs[0] = part;
      for (const std::size_t i : {3, 4}) {
        if (node.inputs[i]) needs[i] = of_operand(part, shape, node.inputs[i]);
      }
      return needs;
    case Op::attention:
      return needs_of_attention(node, part);
    case Op::permute: {
      const auto& axes = node.attrs.get<std::vector<std::int64_t>>("axes");
      needs[0] = Part{static_cast<std::size_t>(axes[part.axis]), part.begin, part.end};
      return needs;
    }
    case Op::reshape: {  // if it changes only the axes after this one
      const Shape& from = node.inputs[0].shape();
      if (from.size() <= part.axis) return {};
      const auto end = shape.begin() + static_cast<std::ptrdiff_t>(part.axis) + 1;
      if (!std::equal(shape.begin(), end, from.begin())) return {};
      needs[0] = part;
      return needs;
    }
    default:
      if (!is_elementwise(node.op)) return {};
      [[fallthrough]];
#define ONNXPORT_COMPARE(name) case Op::name:
#include "onnxport/ops.def"
    case Op::where:
      for (std::size_t i = 0; i < needs.size(); ++i) {
        if (node.inputs[i]) needs[i] = of_operand(part, shape, node.inputs[i]);
      }
      return needs;
  }
}

// The part of each node's first result that is needed, by the node's id; the whole if other results are used
// too.
std::vector<Need> needs_of(const Graph& graph) {
  std::vector<Need> needs(graph.nodes().size());
  std::vector<bool> used(graph.nodes().size()), others(graph.nodes().size());
  const auto demand = [&](const Value& value, const Need& need) {
    if (!value) return;
    const std::size_t id = value.node()->id;
    if (value.index() > 0) others[id] = true;
    needs[id] = used[id] ? both(needs[id], need) : need;
    used[id] = true;
  };
  for (const auto& [name, value] : graph.outputs()) demand(value, {});
  for (auto it = graph.nodes().rbegin(); it != graph.nodes().rend(); ++it) {
    const Node& node = *it;
    Need& need = needs[node.id];
    const bool leaf = node.op == Op::input || node.op == Op::weight;
    if (leaf || others[node.id] || node.op == Op::slice) need = {};
    const auto operands = need ? needs_of_operands(node, *need) : std::nullopt;
    if (!operands) need = {};
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.op == Op::slice) {
        demand(node.inputs[i], part_of(node));
      } else {
        demand(node.inputs[i], operands ? (*operands)[i] : Need());
      }
    }
  }
  return needs;
}

// The part `wanted` of a value, from `value`, which holds the part `given`.
Value taken(const Value& value, const Need& given, const Need& wanted) {
  if (!wanted) return value;
  const std::int64_t first = given ? given->begin : 0;
  return op::slice(value, static_cast<std::int64_t>(wanted->axis), wanted->begin - first,
                   wanted->end - first);
}

}  // namespace

Graph narrow(Graph graph) {
  const std::vector<Need> needs = needs_of(graph);
  const bool worth = std::any_of(graph.nodes().begin(), graph.nodes().end(),
                                 [&](const Node& node) { return node.op == Op::linear && needs[node.id]; });
  if (!worth) return graph;
  return rebuild(std::as_const(graph), [&](Graph& result, const Node& node) -> std::vector<Value> {
    const Node& original = graph.nodes()[node.id];
    const auto given = [&](std::size_t i) { return needs[original.inputs[i].node()->id]; };
    if (node.op == Op::slice) {
      if (!given(0)) return {};
      return {taken(node.inputs[0], given(0), part_of(original))};
    }
    const Need& need = needs[node.id];
    if (!need) return {};
    const std::vector<Need> wanted = *needs_of_operands(original, *need);
    std::vector<Value> operands = node.inputs;
    for (std::size_t i = 0; i < operands.size(); ++i) {
      if (operands[i]) operands[i] = taken(operands[i], given(i), wanted[i]);
    }
    if (node.op == Op::reshape) {
      Shape shape = original.outputs[0].shape;
      shape[need->axis] = need->end - need->begin;
      return {op::reshape(operands[0], shape)};
    }
    Node& made = op::detail::make(result, node.op, std::move(operands), node.attrs);
    std::vector<Value> values;
    for (std::uint32_t i = 0; i < made.outputs.size(); ++i) values.push_back(made.out(i));
    return values;
  });
}

}  // namespace onnxport::pass
