#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/elementwise.h"
#include "pass/passes.h"
#include "pass/permutation.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

// The permutation that all permuted operands share, if the op works elementwise on operands of one shape, and
// moving the permutation after it saves one. The other operands are results of convolutions, which can be
// written permuted.
std::optional<Axes> shared_axes(const Node& node, const std::vector<bool>& read_once) {
  if (!is_elementwise(node.op) || node.inputs.size() != 2) return {};
  std::optional<Axes> axes;
  bool saves = false;
  for (std::size_t i = 0; i < node.inputs.size(); ++i) {
    const Value& input = node.inputs[i];
    if (input.shape() != node.outputs[0].shape) return {};
    if (input.node()->op == Op::conv) continue;
    if (input.node()->op != Op::permute) return {};
    if (axes && *axes != axes_of(input)) return {};
    axes = axes_of(input);
    saves = saves || read_once[i];
  }
  return saves ? axes : std::nullopt;
}

}  // namespace

Graph sink_permutes(Graph graph) {
  const auto is_permute = [](const Node& node) { return node.op == Op::permute; };
  if (std::none_of(graph.nodes().begin(), graph.nodes().end(), is_permute)) return graph;
  const std::vector<int> uses = uses_of(graph);
  return rebuild(std::as_const(graph), [&](Graph& result, const Node& node) -> std::vector<Value> {
    if (node.op == Op::permute) {
      if (node.inputs[0].node()->op != Op::permute) return {};
      return {permuted(node.inputs[0], axes_of(node))};
    }
    std::vector<bool> read_once;
    for (const Value& input : graph.nodes()[node.id].inputs)
      read_once.push_back(input && uses[input.node()->id] == 1);
    const std::optional<Axes> axes = shared_axes(node, read_once);
    if (!axes) return {};
    std::vector<Value> operands;
    for (const Value& input : node.inputs) operands.push_back(permuted(input, inverse(*axes)));
    const Value moved = op::detail::make(result, node.op, std::move(operands), node.attrs).out();
    return {op::permute(moved, *axes)};
  });
}

}  // namespace onnxport::pass
