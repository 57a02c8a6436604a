#include <vector>

#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {

Graph remove_dead(const Graph& graph) {
  std::vector<bool> needed(graph.nodes().size());
  for (const auto& [name, value] : graph.outputs()) needed[value.node()->id] = true;
  for (auto node = graph.nodes().rbegin(); node != graph.nodes().rend(); ++node) {
    if (!needed[node->id]) continue;
    for (const Value& input : node->inputs) {
      if (input) needed[input.node()->id] = true;
    }
  }
  // `rebuild` visits in order, so a counter finds the old node: candidates carry the old id.
  return rebuild(graph, [&](Graph& /*result*/, const Node& node) -> std::vector<Value> {
    if (needed[node.id]) return {};
    return std::vector<Value>(node.outputs.size(), Value());
  });
}

}  // namespace onnxport::pass
