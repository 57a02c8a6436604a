#include <algorithm>
#include <utility>

#include "onnxport/op.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {

Graph legalize(Graph graph, const std::function<bool(const Node&)>& native) {
  const auto is_foreign = [&](const Node& node) {
    return op::detail::is_composite(node.op) && !native(node);
  };
  while (std::any_of(graph.nodes().begin(), graph.nodes().end(), is_foreign)) {
    graph = rebuild(std::move(graph), [&](Graph& /*result*/, const Node& node) -> std::vector<Value> {
      if (!is_foreign(node)) return {};
      return op::detail::decompose(node);
    });
  }
  return graph;
}

Graph simplify(Graph graph) { return remove_dead(merge_common(fold_weights(std::move(graph)))); }

}  // namespace onnxport::pass
