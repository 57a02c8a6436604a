#include <algorithm>

#include "onnxport/op.h"
#include "pass/passes.h"
#include "pass/rebuild.h"

namespace onnxport::pass {

Graph fold_weights(const Graph& graph) {
  return rebuild(graph, [](Graph& result, const Node& node) -> std::vector<Value> {
    std::vector<Weight> operands;
    for (const Value& input : node.inputs) {
      if (input && input.node()->op != Op::weight) return {};
      operands.push_back(input ? input.node()->weight : Weight());  // an optional operand may be absent
    }
    if (operands.empty()) return {};
    const Weight folded = op::detail::fold(node, operands);
    if (!folded) return {};
    return {result.weight_as_is(folded)};
  });
}

}  // namespace onnxport::pass
