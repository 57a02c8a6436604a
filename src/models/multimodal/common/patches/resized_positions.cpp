#include "models/multimodal/common/patches/resized_positions.h"

#include <vector>

#include "onnxport/op.h"

namespace onnxport::models {
namespace {

// The shares [B, patches, side] of the table's rows (or columns) in each patch. place: int64 [B, patches],
// extent: int64 [B, 1].
Value shares(Value place, Value extent, std::int64_t side) {
  Graph& graph = place.graph();
  // Patch i of n has its centre at (i + 1/2) / n of the axis, element m of the table at (m + 1/2) / side. The
  // distance of the two is exact in integers, as |(2i + 1) side - (2m + 1) n|. A triangle falls off over one
  // element of the table, or one patch, whichever is wider.
  std::vector<std::int64_t> odd;
  for (std::int64_t m = 0; m < side; ++m) odd.push_back(2 * m + 1);
  const auto from = static_cast<double>(side);
  const Value wide_extent = op::unsqueeze(extent, 2);
  const Value theirs = op::mul(wide_extent, graph.weight(Weight::from_ints({side}, odd)));
  const Value ours = op::unsqueeze(op::add(op::mul(place, 2 * from), from), 2);
  const Value apart = op::cast(op::abs(op::sub(ours, theirs)), DType::f32);
  const Value reach = op::mul(op::cast(op::maximum(wide_extent, from), DType::f32), 2.0);
  const Value triangle = op::relu(op::sub(1.0, op::div(apart, reach)));
  return op::div(triangle, op::sum(triangle, 2, true));
}

}  // namespace

Value resized_positions(const Weight& table, std::int64_t side, Value spatial_shapes, const Dim& patches) {
  Graph& graph = spatial_shapes.graph();
  const Dim& batch = spatial_shapes.dim(0);
  const Value rows = op::slice(spatial_shapes, 1, 0, 1), columns = op::slice(spatial_shapes, 1, 1, 2);
  const Value number = op::arange(graph, patches);
  const Value real = op::lt(number, op::mul(rows, columns));
  const Value index = op::mul(op::cast(real, DType::i64), number);
  const Value row = op::div(index, columns);
  const Value column = op::sub(index, op::mul(row, columns));

  // Row by row, the shares of the table's cells in each patch.
  const Value of_rows = op::unsqueeze(shares(row, rows, side), 3);
  const Value of_columns = op::unsqueeze(shares(column, columns, side), 2);
  const Value cells = op::reshape(op::mul(of_rows, of_columns), {batch, patches, side * side});
  // Computed in float32, as in the original, and rounded at the end.
  const Value positions = op::matmul(cells, graph.weight_as_is(table.cast(DType::f32)));
  return op::cast(positions, graph.float_dtype());
}

}  // namespace onnxport::models
