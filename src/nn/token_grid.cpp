#include "onnxport/nn/token_grid.h"

#include "onnxport/op.h"

namespace onnxport::nn {

TokenGrid grid_of(Value image) { return {image.dim(0), image.dim(2), image.dim(3)}; }

Value image_to_rows(Value image) {
  const Value last = op::permute(image, {0, 2, 3, 1});
  return op::reshape(last, {grid_of(image).rows(), image.dim(1)});
}

Value rows_to_image(Value rows, const TokenGrid& grid) {
  const Value last = op::reshape(rows, {grid.batch, grid.height, grid.width, rows.dim(1)});
  return op::permute(last, {0, 3, 1, 2});
}

Value rows_to_tokens(Value rows, const TokenGrid& grid) {
  return op::reshape(rows, {grid.batch, grid.tokens(), rows.dim(1)});
}

Value RowSelection::operator()(Value x) const {
  const Value selected = op::embedding(x, indices);
  return real ? op::mul(selected, real) : selected;
}

namespace detail {

RowSelection select_rows(Value y, Value x, const TokenGrid& grid, std::int64_t side, bool padded,
                         const Dim& filler) {
  Graph& graph = y.graph();
  const Dim down = y.dim(0).floor_div(side), across = x.dim(0).floor_div(side);
  const Dim count = y.dim(0) * x.dim(0);
  const auto vertical = [&](Value v) { return op::reshape(v, {down, 1, side, 1}); };
  const auto horizontal = [&](Value v) { return op::reshape(v, {1, across, 1, side}); };

  const Value lines = op::mul(y, op::size(graph, grid.width));
  const Value along = horizontal(x);
  const Value rows = op::add(vertical(lines), along);
  if (!padded) return {for_all_images(op::reshape(rows, {count}), grid.batch, grid.tokens())};

  const Value below = vertical(op::ge(y, op::size(graph, grid.height)));
  const Value beside = horizontal(op::ge(x, op::size(graph, grid.width)));
  const Value outside = op::logical_or(below, beside);
  const Value filled = op::where(outside, op::size(graph, filler), rows);
  const Value inside = op::cast(op::logical_not(outside), graph.float_dtype());
  const Value all = op::expand(op::reshape(inside, {1, count}), {grid.batch, count});
  return {for_all_images(op::reshape(filled, {count}), grid.batch, grid.tokens()),
          op::reshape(all, {grid.batch * count, 1})};
}

Value for_all_images(Value indices, const Dim& batch, const Dim& per_image) {
  if (batch == Dim(1)) return indices;
  const Value images = op::unsqueeze(op::arange(indices.graph(), batch), 1);
  const Value firsts = op::mul(images, op::size(indices.graph(), per_image));
  return op::reshape(op::add(firsts, indices), {batch * indices.dim(0)});
}

}  // namespace detail

RowSelection patches_of(Graph& graph, const TokenGrid& grid, std::int64_t side, PatchEdge edge) {
  const bool fill = edge == PatchEdge::fill;
  const auto covered = [&](const Dim& n) { return (fill ? n + (side - 1) : n).floor_div(side) * side; };
  const Dim height = covered(grid.height), width = covered(grid.width);
  const bool padded = fill && (height != grid.height || width != grid.width);
  const Value y = op::arange(graph, height);
  return detail::select_rows(y, op::arange(graph, width), grid, side, padded);
}

}  // namespace onnxport::nn
