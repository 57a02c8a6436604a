#include <algorithm>
#include <utility>

#include "onnxport/op.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {

Graph legalize(Graph graph, const std::function<Expansion(const Node&)>& expansion_of) {
  const auto is_foreign = [&](const Node& node) { return expansion_of(node) != nullptr; };
  while (std::any_of(graph.nodes().begin(), graph.nodes().end(), is_foreign)) {
    graph = rebuild(std::move(graph), [&](Graph& /*result*/, const Node& node) -> std::vector<Value> {
      const Expansion expand = expansion_of(node);
      return expand == nullptr ? std::vector<Value>() : expand(node);
    });
  }
  return graph;
}

Graph simplify(Graph graph) { return remove_dead(merge_common(fold_weights(std::move(graph)))); }

}  // namespace onnxport::pass
