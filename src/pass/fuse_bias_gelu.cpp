#include <algorithm>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {

Graph fuse_bias_gelu(Graph graph) {
  const std::vector<int> uses = uses_of(graph);
  std::vector<bool> fits(graph.nodes().size());
  for (const Node& node : graph.nodes()) {
    if (node.op != Op::gelu) continue;
    const Node& linear = *node.inputs[0].node();
    fits[node.id] =
        linear.op == Op::linear && linear.inputs[2] && linear.inputs[2].rank() == 1 && uses[linear.id] == 1;
  }
  if (std::find(fits.begin(), fits.end(), true) == fits.end()) return graph;
  return rebuild(std::move(graph), [&](Graph& result, const Node& node) -> std::vector<Value> {
    if (!fits[node.id]) return {};
    const Node& linear = *node.inputs[0].node();
    Value product;
    {
      const ModulePath at(result, linear.path);
      product = op::linear(linear.inputs[0], linear.inputs[1]);
    }
    return {op::bias_gelu(product, linear.inputs[2], node.attrs.get<std::string>("approximate"))};
  });
}

}  // namespace onnxport::pass
