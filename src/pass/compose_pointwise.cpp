#include <algorithm>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "pass/passes.h"
#include "pass/pointwise.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

// Whether it is a 1 x 1 convolution after another one that nothing else reads, with so many channels in
// between that a single convolution is less work.
bool is_second(const Node& node, const std::vector<int>& uses) {
  if (!is_pointwise(node)) return false;
  const Node& first = *node.inputs[0].node();
  if (!is_pointwise(first) || uses[first.id] != 1) return false;
  const std::int64_t out = *node.inputs[1].dim(0).constant(), between = *node.inputs[1].dim(1).constant();
  const std::int64_t in = *first.inputs[1].dim(1).constant();
  return out * in < out * between + between * in;
}

}  // namespace

Graph compose_pointwise(Graph graph) {
  const std::vector<int> uses = uses_of(graph);
  std::vector<bool> seconds(graph.nodes().size());
  for (const Node& node : graph.nodes()) {
    // If there are three in a row, the middle one is merged into the last.
    seconds[node.id] = is_second(node, uses) && !seconds[node.inputs[0].node()->id];
  }
  if (std::find(seconds.begin(), seconds.end(), true) == seconds.end()) return graph;
  return remove_dead(rebuild(std::move(graph), [&](Graph& result, const Node& node) -> std::vector<Value> {
    if (!seconds[node.id]) return {};
    const Node& first = *node.inputs[0].node();
    const Value outer = result.weight_as_is(matrix_of(node));
    const Value inner = result.weight_as_is(matrix_of(first).permute({1, 0}));
    const Value product = op::linear(outer, inner);
    const Value kernel = op::reshape(product, {product.dim(0), product.dim(1), 1, 1});
    Value bias = node.inputs[2];
    if (first.inputs[2]) {
      const Value row = op::reshape(first.inputs[2], {1, outer.dim(1)});
      bias = op::reshape(op::linear(row, outer, bias), {outer.dim(0)});
    }
    return {op::conv2d(first.inputs[0], kernel, bias)};
  }));
}

}  // namespace onnxport::pass
