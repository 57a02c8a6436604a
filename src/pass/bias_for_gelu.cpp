#include <algorithm>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {

Graph bias_for_gelu(Graph graph) {
  const std::vector<int> uses = uses_of(graph);
  std::vector<bool> into_gelu(graph.nodes().size());
  for (const Node& node : graph.nodes()) {
    for (const Value& input : node.inputs) {
      if (input && node.op == Op::gelu) into_gelu[input.node()->id] = true;
    }
  }

  const auto fits = [&](const Node& node) {
    return node.op == Op::linear && node.inputs[2] && into_gelu[node.id] && uses[node.id] == 1;
  };
  if (std::none_of(graph.nodes().begin(), graph.nodes().end(), fits)) return graph;
  return rebuild(std::move(graph), [&](Graph&, const Node& node) -> std::vector<Value> {
    if (!fits(node)) return {};
    return {op::add(op::linear(node.inputs[0], node.inputs[1]), node.inputs[2])};
  });
}

}  // namespace onnxport::pass
