#include "onnxport/op.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {

Graph legalize(const Graph& graph, const std::function<bool(const Node&)>& native) {
  bool again = false;
  Graph result = rebuild(graph, [&](Graph& /*result*/, const Node& node) -> std::vector<Value> {
    if (!op::detail::is_composite(node.op) || native(node)) return {};
    again = true;
    return op::detail::decompose(node);
  });
  return again ? legalize(result, native) : std::move(result);
}

Graph simplify(Graph graph) {
  graph = fold_weights(graph);
  graph = merge_common(graph);
  return remove_dead(graph);
}

}  // namespace onnxport::pass
