#include "models/multimodal/common/patches/sampled_positions.h"

#include <algorithm>
#include <vector>

#include "onnxport/op.h"

namespace onnxport::models {
namespace {

// The row `values` as a constant of float32.
Value constant(Graph& graph, std::vector<std::int64_t> shape, const std::vector<double>& values) {
  return graph.weight_as_is(Weight::from_doubles(DType::f32, std::move(shape), values));
}

// Element c of the table, counted from 0, has its centre at patch `place` of `extent`: c float32 [N, 1].
Value centre(Value place, Value extent, std::int64_t side) {
  const auto from = static_cast<double>(side);
  const Value doubled = op::sub(op::add(op::mul(place, 2 * from), from), extent);  // exact in integers
  const Value twice = op::cast(op::mul(extent, 2.0), DType::f32);
  return op::unsqueeze(op::div(op::cast(doubled, DType::f32), twice), 1);
}

// |c - m| for elements m from `first` on: [N, count]
Value distances(Value c, std::int64_t first, std::int64_t count) {
  std::vector<double> elements;
  for (std::int64_t m = first; m < first + count; ++m) elements.push_back(static_cast<double>(m));
  return op::abs(op::sub(c, constant(c.graph(), {count}, elements)));
}

// Shares of the elements of an axis [N, side]: a triangle.
Value linear_shares(Value c, std::int64_t side) {
  const Value inside = op::minimum(op::maximum(c, 0.0), static_cast<double>(side - 1));
  return op::relu(op::sub(1.0, distances(inside, 0, side)));
}

// The same of the cubic convolution kernel with a = -3/4. (Keys 1981)
Value cubic_shares(Value c, std::int64_t side) {
  constexpr double a = -0.75;
  constexpr std::int64_t reach = 2;
  const std::int64_t all = side + 2 * reach;
  const Value d = distances(c, -reach, all);
  const Value slope = op::sub(op::mul(d, a + 2), a + 3);
  const Value near = op::add(op::mul(slope, op::mul(d, d)), 1.0);
  const Value outer = op::add(op::mul(op::sub(op::mul(d, a), 5 * a), d), 8 * a);
  const Value far = op::sub(op::mul(outer, d), 4 * a);
  const Value zero = op::scalar(c.graph(), 0.0, DType::f32);
  const Value tail = op::where(op::lt(d, 2.0), far, zero);
  const Value shares = op::where(op::lt(d, 1.0), near, tail);
  // What lies beyond the border counts for the outermost elements.
  std::vector<double> folds(static_cast<std::size_t>(all * side), 0);
  for (std::int64_t m = 0; m < all; ++m)
    folds[static_cast<std::size_t>(m * side + std::clamp<std::int64_t>(m - reach, 0, side - 1))] = 1;
  return op::matmul(shares, constant(c.graph(), {all, side}, folds));
}

}  // namespace

Value sampled_positions(const Weight& table, std::int64_t side, const PatchPlaces& places, Value grid,
                        Sampling sampling) {
  Graph& graph = grid.graph();
  const auto shares = [&](Value place, std::int64_t axis) {
    const Value extent = op::embedding(op::select(grid, 1, axis), places.image);
    const Value c = centre(place, extent, side);
    return sampling == Sampling::cubic ? cubic_shares(c, side) : linear_shares(c, side);
  };
  const Value of_rows = op::unsqueeze(shares(places.row, 1), 2);
  const Value of_columns = op::unsqueeze(shares(places.column, 2), 1);
  const Value cells = op::reshape(op::mul(of_rows, of_columns), {of_rows.dim(0), side * side});
  // In float32, as in the originals.
  const Value positions = op::matmul(cells, graph.weight_as_is(table.cast(DType::f32)));
  return op::cast(positions, graph.float_dtype());
}

}  // namespace onnxport::models
