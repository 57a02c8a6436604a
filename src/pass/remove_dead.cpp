#include <algorithm>
#include <utility>
#include <vector>

#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {

Graph remove_dead(Graph graph) {
  std::vector<bool> needed(graph.nodes().size());
  for (const auto& [name, value] : graph.outputs()) needed[value.node()->id] = true;
  for (auto node = graph.nodes().rbegin(); node != graph.nodes().rend(); ++node) {
    if (node->op == Op::input) needed[node->id] = true;
    if (!needed[node->id]) continue;
    for (const Value& input : node->inputs) {
      if (input) needed[input.node()->id] = true;
    }
  }
  if (std::find(needed.begin(), needed.end(), false) == needed.end()) return graph;
  return rebuild(std::move(graph), [&](Graph& /*result*/, const Node& node) -> std::vector<Value> {
    if (needed[node.id]) return {};
    return std::vector<Value>(node.outputs.size(), Value());
  });
}

}  // namespace onnxport::pass
