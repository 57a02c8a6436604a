#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/pointwise.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

// If this is `x` times a number from 0 to 1: the number.
std::optional<double> slope_of(const Value& small, const Value& x) {
  if (small.node()->op != Op::mul || small.type() != x.type()) return {};
  const std::vector<Value>& operands = small.node()->inputs;
  for (const std::size_t i : {0, 1}) {
    if (!(operands[1 - i] == x) || !is_weight(operands[i]) || is_coded(operands[i])) continue;
    if (numel(operands[i].shape()) != Dim(1)) continue;
    const double slope = operands[i].node()->weight.to_doubles()[0];
    if (slope >= 0 && slope <= 1) return slope;
  }
  return {};
}

bool may_fit(const Node& node) { return node.op == Op::maximum && is_float(node.outputs[0].dtype); }

}  // namespace

Graph leaky_relu(Graph graph) {
  if (std::none_of(graph.nodes().begin(), graph.nodes().end(), may_fit)) return graph;
  return rebuild(std::move(graph), [](Graph& result, const Node& node) -> std::vector<Value> {
    if (!may_fit(node)) return {};
    for (const std::size_t i : {0, 1}) {
      const Value x = node.inputs[i];
      const std::optional<double> slope = slope_of(node.inputs[1 - i], x);
      if (slope) return {op::detail::make(result, Op::relu, {x}, {{"slope", *slope}}).out()};
    }
    return {};
  });
}

}  // namespace onnxport::pass
