#include <algorithm>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {

namespace {

bool is_bare_linear(const Value& value) { return value.node()->op == Op::linear && !value.node()->inputs[2]; }

// Whether it is a sum of matrices, one of which is a product.
bool may_fit(const Node& node) {
  return node.op == Op::add && node.outputs[0].shape.size() == 2 &&
         (is_bare_linear(node.inputs[0]) || is_bare_linear(node.inputs[1]));
}

}  // namespace

Graph add_into_linear(Graph graph) {
  if (std::none_of(graph.nodes().begin(), graph.nodes().end(), may_fit)) return graph;
  const std::vector<int> uses = uses_of(graph);

  // By the id of a node in the new graph: whether it is a linear that only one node uses.
  std::vector<bool> free;
  return rebuild(std::move(graph), [&](Graph& result, const Node& node) -> std::vector<Value> {
    const Shape& shape = node.outputs[0].shape;
    if (may_fit(node)) {
      for (const std::size_t i : {1, 0}) {
        const Value product = node.inputs[i], other = node.inputs[1 - i];
        const bool fits = is_bare_linear(product) && product.node()->id < free.size() &&
                          free[product.node()->id] && other.shape() == shape && product.shape() == shape;
        if (!fits) continue;
        const ModulePath path(result, product.node()->path);
        return {op::linear(product.node()->inputs[0], product.node()->inputs[1], other)};
      }
    }
    if (node.op != Op::linear) return {};
    const Value copy = copy_node(result, node);
    free.resize(copy.node()->id + 1);
    free[copy.node()->id] = uses[node.id] == 1;
    return {copy};
  });
}

}  // namespace onnxport::pass
