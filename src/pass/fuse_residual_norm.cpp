#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

// A sum with the norm after it.
struct Pair {
  const Node* norm = nullptr;
  std::optional<std::size_t> biased;  // the addend that is a linear with a bias, and nothing else's operand
};

// A norm of a sum of two values of the same shape.
const Node* normed_sum(const Node& norm) {
  if (norm.op != Op::layer_norm && norm.op != Op::rms_norm) return nullptr;
  const Node& sum = *norm.inputs[0].node();
  if (sum.op != Op::add || sum.inputs[0].shape() != sum.inputs[1].shape()) return nullptr;
  const bool own = std::all_of(norm.inputs.begin() + 1, norm.inputs.end(), [](const Value& parameter) {
    return !parameter || parameter.node()->op == Op::weight;
  });
  return own && norm.inputs[1] ? &sum : nullptr;
}

std::unordered_map<std::uint32_t, Pair> find_pairs(const Graph& graph) {
  const std::vector<int> uses = uses_of(graph);
  std::unordered_map<std::uint32_t, Pair> pairs;  // by the id of the sum
  for (const Node& node : graph.nodes()) {
    const Node* sum = normed_sum(node);
    if (sum == nullptr) continue;
    Pair pair{&node, {}};
    for (const std::size_t i : {1, 0}) {
      const Node& addend = *sum->inputs[i].node();
      const bool free = addend.op == Op::linear && addend.inputs[2] && uses[addend.id] == 1 &&
                        addend.inputs[2].node()->op == Op::weight && addend.inputs[2].rank() == 1;
      if (free) pair.biased = i;
    }
    pairs.emplace(sum->id, pair);  // of several norms the first: the others take the sum
  }
  return pairs;
}

}  // namespace

Graph fuse_residual_norm(Graph graph, const std::function<bool(const Node&)>& native) {
  const std::unordered_map<std::uint32_t, Pair> pairs = find_pairs(graph);
  if (pairs.empty()) return graph;
  std::unordered_map<std::uint32_t, Value> normed;  // by the id of the norm
  return rebuild(std::as_const(graph), [&](Graph& result, const Node& node) -> std::vector<Value> {
    if (const auto done = normed.find(node.id); done != normed.end()) return {done->second};
    const auto found = pairs.find(node.id);
    if (found == pairs.end()) return {};
    const Node* const norm = found->second.norm;
    const std::optional<std::size_t> biased = found->second.biased;
    Value x = node.inputs[0], skip = node.inputs[1], linear_bias;
    if (biased) {
      if (*biased == 1) std::swap(x, skip);
      linear_bias = x.node()->inputs[2];
      const ModulePath at(result, x.node()->path);
      x = op::linear(x.node()->inputs[0], x.node()->inputs[1]);
    }
    const ModulePath at(result, norm->path);
    const auto parameter = [&](std::size_t i) {
      return norm->inputs[i] ? result.weight_as_is(norm->inputs[i].node()->weight) : Value();
    };
    const double eps = norm->attrs.real("eps");
    const Value weight = parameter(1);
    const op::AddNorm made = norm->op == Op::layer_norm
                                 ? op::add_layer_norm(x, skip, weight, parameter(2), eps, linear_bias)
                                 : op::add_rms_norm(x, skip, weight, eps, linear_bias);
    if (!native(*made.normed.node())) return {};
    normed.emplace(norm->id, made.normed);
    return {made.sum};
  });
}

}  // namespace onnxport::pass
