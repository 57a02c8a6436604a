#include <algorithm>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

bool takes_weights_only(const Node& node) {
  return !node.inputs.empty() && std::all_of(node.inputs.begin(), node.inputs.end(), [](const Value& input) {
    return input && input.node()->op == Op::weight;
  });
}

}  // namespace

Graph fold_weights(Graph graph) {
  if (std::none_of(graph.nodes().begin(), graph.nodes().end(), takes_weights_only)) return graph;
  return rebuild(std::move(graph), [](Graph& result, const Node& node) -> std::vector<Value> {
    if (!takes_weights_only(node)) return {};
    std::vector<Weight> operands;
    operands.reserve(node.inputs.size());
    for (const Value& input : node.inputs) operands.push_back(input.node()->weight);
    const Weight folded = op::detail::fold(node, operands);
    if (!folded) return {};
    return {result.weight_as_is(folded)};
  });
}

}  // namespace onnxport::pass
