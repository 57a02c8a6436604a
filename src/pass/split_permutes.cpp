#include <algorithm>
#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/permutation.h"
#include "pass/rebuild.h"

namespace onnxport::pass {
namespace {

constexpr std::int64_t kRow = 16;  // elements of a row that is worth a copy of its own

bool is_row(const Dim& extent) { return extent.constant().value_or(0) >= kRow; }

// Whether it moves the last axis away, another axis to the last place, and does more than move one axis.
bool is_slow(const Axes& axes) {
  const auto moves = [&](std::int64_t axis) {
    Axes others = axes;
    std::erase(others, axis);
    return std::is_sorted(others.begin(), others.end());
  };
  return axes.back() != static_cast<std::int64_t>(axes.size()) - 1 &&
         std::none_of(axes.begin(), axes.end(), moves);
}

bool is_slow(const Value& value) { return value.node()->op == Op::permute && is_slow(axes_of(value)); }

Shape head(const Shape& shape, std::int64_t count) { return {shape.begin(), shape.begin() + count}; }
Dim places(const Shape& shape, std::int64_t begin, std::int64_t end) {
  return numel(Shape(shape.begin() + begin, shape.begin() + end));
}

// The permutation of x in two steps: its rows along the last axis change their places, then that axis moves
// in front of those that the permutation has behind it. Ends without the axes behind it, as one.
Value rows_first(Value x, Axes axes) {
  const std::int64_t last = x.rank() - 1;
  const auto moved = std::find(axes.begin(), axes.end(), last);
  const std::int64_t place = moved - axes.begin();
  axes.erase(moved);
  axes.push_back(last);
  const Value sorted = op::permute(x, std::move(axes));
  Shape shape = head(sorted.shape(), place);
  shape.push_back(places(sorted.shape(), place, last));
  shape.push_back(x.dim(-1));
  return op::transpose(op::reshape(sorted, std::move(shape)), -2, -1);
}

// The same, the other way round: the axis that becomes the last one moves, then rows along it. x is a
// reshape.
Value rows_last(const Value& x, const Axes& axes) {
  const std::int64_t place = axes.back();
  Shape flat = head(x.shape(), place + 1);
  flat.push_back(places(x.shape(), place + 1, x.rank()));
  const Value rows = op::transpose(op::reshape(x.node()->inputs[0], std::move(flat)), -2, -1);
  Shape shape = x.shape();
  std::rotate(shape.begin() + place, shape.begin() + place + 1, shape.end());
  Axes order;
  for (const std::int64_t axis : axes) order.push_back(axis > place ? axis - 1 : axis);
  order.back() = x.rank() - 1;
  return op::permute(op::reshape(rows, std::move(shape)), std::move(order));
}

}  // namespace

Graph split_permutes(Graph graph) {
  const std::vector<int> uses = uses_of(graph);
  std::vector<bool> chosen(graph.nodes().size());
  for (const Node& node : graph.nodes()) {
    if (node.op == Op::permute) {
      const Value x = node.inputs[0];
      chosen[node.id] =
          is_slow(node.out()) && x.node()->op == Op::reshape && is_row(x.dim(axes_of(node).back()));
    } else if (node.op == Op::reshape && is_slow(node.inputs[0])) {
      const Node& permute = *node.inputs[0].node();
      chosen[node.id] = uses[permute.id] == 1 && is_row(permute.inputs[0].dim(-1));
      if (chosen[node.id]) chosen[permute.id] = false;
    }
  }
  if (std::none_of(chosen.begin(), chosen.end(), [](bool any) { return any; })) return graph;
  return remove_dead(rebuild(std::move(graph), [&](Graph& result, const Node& node) -> std::vector<Value> {
    if (!chosen[node.id]) return {};
    const Value& x = node.inputs[0];
    if (node.op == Op::permute) return {rows_last(x, axes_of(node))};
    const ModulePath at(result, x.node()->path);
    const Value moved = rows_first(x.node()->inputs[0], axes_of(x));
    return {op::reshape(moved, node.outputs[0].shape)};
  }));
}

}  // namespace onnxport::pass
