#include "onnxport/nn/grid_bias.h"

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

constexpr std::int64_t kWithFirst = 3;  // rows of pairs with the first token

/// The table row of each pair of tokens: int64 [1 + patches, 1 + patches]. The row of a pair of patches
/// depends on their distance in both directions. The last three rows are for pairs with the first token.
Value relative_positions(Graph& graph, const Dim& rows, const Dim& columns) {
  const auto distances = [&](const Dim& n) {  // [n, n], from 0 on
    const Value from = op::unsqueeze(op::arange(graph, n, n - 1), 1);
    const Value to = op::arange(graph, n);
    return op::sub(from, to);
  };
  const Value width = op::size(graph, columns * 2 - 1);
  const Value vertical = op::mul(distances(rows), width);
  const Value horizontal = distances(columns);
  const Value by_row = op::reshape(vertical, {rows, 1, rows, 1});
  const Value by_column = op::reshape(horizontal, {1, columns, 1, columns});
  const Dim patches = rows * columns;
  const Value among_patches = op::reshape(op::add(by_row, by_column), {patches, patches});

  const Dim behind = (rows * 2 - 1) * (columns * 2 - 1);
  const Value from_first = op::expand(op::reshape(op::size(graph, behind), {1, 1}), {1, patches});
  const Value to_first = op::expand(op::reshape(op::size(graph, behind + 1), {1, 1}), {patches, 1});
  const Value first = op::reshape(op::size(graph, behind + 2), {1, 1});
  const Value top = op::concat({first, from_first}, 1);
  const Value rest = op::concat({to_first, among_patches}, 1);
  return op::concat({top, rest}, 0);
}

}  // namespace

GridBias::GridBias(const Scope& s, KernelSize grid, std::int64_t heads)
    : GridBias(s.path(),
               s.weight("relative_position_bias_table",
                        {(2 * grid.height - 1) * (2 * grid.width - 1) + kWithFirst, heads}),
               grid) {}

GridBias::GridBias(std::string path, const Weight& table, KernelSize grid)
    : path_(std::move(path)),
      by_distance_(table.slice(0, 0, table.shape()[0] - kWithFirst)
                       .reshape({1, table.shape()[0] - kWithFirst, table.shape()[1]}),
                   {2 * grid.width - 1, 2 * grid.height - 1}, "linear"),
      with_first_(table.slice(0, table.shape()[0] - kWithFirst, table.shape()[0])) {}

Value GridBias::operator()(Graph& graph, const Dim& rows, const Dim& columns) const {
  const ModulePath at(graph, path_);
  const Value distances = op::squeeze(by_distance_(graph, rows * 2 - 1, columns * 2 - 1), 0);
  const Value table = op::concat({distances, graph.weight(with_first_)}, 0);
  const Value index = relative_positions(graph, rows, columns);
  const Value bias = op::embedding(table, index);
  return op::unsqueeze(op::permute(bias, {2, 0, 1}), 0);
}

}  // namespace onnxport::nn
