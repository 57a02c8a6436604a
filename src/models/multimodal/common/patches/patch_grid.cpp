#include "models/multimodal/common/patches/patch_grid.h"

#include <fmt/format.h>

#include <cmath>

#include "models/common/division.h"
#include "onnxport/error.h"

namespace onnxport::models {

PatchPlaces patch_places(Value grid, const Dim& count, std::int64_t side) {
  Graph& graph = grid.graph();
  const ModulePath at(graph, "patches");
  const Value frames = op::select(grid, 1, 0), rows = op::select(grid, 1, 1),
              columns = op::select(grid, 1, 2);
  const Value of_frame = op::mul(rows, columns);
  const Value of_image = op::mul(frames, of_frame);
  const Value ends = op::cumsum(of_image, 0);
  const Value patch = op::arange(graph, count);
  const Value end = op::unsqueeze(ends, 0);
  const Value passed = op::ge(op::unsqueeze(patch, 1), end);
  const Value image = op::sum(op::cast(passed, DType::i64), 1);
  const auto of = [&](Value per_image) { return op::embedding(per_image, image); };

  const Value in_image = op::sub(patch, of(op::sub(ends, of_image)));
  const auto [frame, local] = divide(in_image, of(of_frame));
  const Value frames_before = op::sub(op::cumsum(frames, 0), frames);
  const auto s = static_cast<double>(side);
  const auto [square, cell] = divide(local, s * s);
  const Value across = of(op::div(columns, s));
  const auto [square_row, square_column] = divide(square, across);
  const auto [cell_row, cell_column] = divide(cell, s);
  const Value row = op::add(op::mul(square_row, s), cell_row);
  const Value column = op::add(op::mul(square_column, s), cell_column);
  return {.frame = op::add(of(frames_before), frame),
          .row = row,
          .column = column,
          .image = image,
          .local = local};
}

Value same_frame(const PatchPlaces& places) {
  const ModulePath at(places.frame, "attention_mask");
  const Value query = op::unsqueeze(places.frame, 1);
  return op::eq(query, op::unsqueeze(places.frame, 0));
}

op::Rope grid_rope(const PatchPlaces& places, std::int64_t head_dim, double theta) {
  if (head_dim < 4 || head_dim % 4 != 0) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("heads of the vision tower have {} elements, expected a multiple of 4", head_dim));
  }
  const std::int64_t elements = head_dim / 2, half = elements / 2;  // of an axis
  std::vector<double> frequencies;
  for (int axis = 0; axis < 2; ++axis) {
    for (std::int64_t i = 0; i < half; ++i) {
      const float exponent = static_cast<float>(2 * i) / static_cast<float>(elements);
      frequencies.push_back(1.0F / static_cast<float>(std::pow(theta, static_cast<double>(exponent))));
    }
  }
  Graph& graph = places.row.graph();
  const ModulePath at(graph, "rotary_emb");
  const auto repeated = [&](Value place) {
    return op::expand(op::unsqueeze(place, 1), {place.dim(0), half});
  };
  const Value row = repeated(places.row);
  const Value both = op::concat({row, repeated(places.column)}, 1);
  const Weight table = Weight::from_doubles(DType::f32, {2 * half}, frequencies, "inv_freq");
  return {.position_ids = op::unsqueeze(both, 0), .frequencies = graph.weight_as_is(table)};
}

// ---- dummy inputs ----

bool DummyPatchGenerator::supports_input(std::string_view name) const {
  return name == "pixel_values" || name.ends_with("grid_thw");
}

// Images of different sizes.
std::vector<std::int64_t> DummyPatchGenerator::grid(std::int64_t images) const {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < images; ++i) {
    for (const std::int64_t extent : {std::int64_t{1}, side_ * (1 + (i + 1) % 3), side_ * (2 + i % 2)})
      values.push_back(extent);
  }
  return values;
}

TensorType DummyPatchGenerator::type(std::string_view name, const DummyContext& context,
                                     const DummyShapes& shapes) const {
  if (name != "pixel_values") return {context.int_dtype, {shapes.batch_size, 3}};
  const std::vector<std::int64_t> extents = grid(shapes.batch_size);
  std::int64_t patches = 0;
  for (std::size_t i = 0; i < extents.size(); i += 3) patches += extents[i] * extents[i + 1] * extents[i + 2];
  TensorType rows{context.float_dtype, {patches}};
  rows.shape.insert(rows.shape.end(), extents_.begin(), extents_.end());
  return rows;
}

Tensor DummyPatchGenerator::generate(std::string_view name, const DummyContext& context,
                                     const DummyShapes& shapes, std::uint64_t seed) const {
  const TensorType type = this->type(name, context, shapes);
  if (name == "pixel_values") return random_floats(seed, name, type);
  return Tensor::from_ints(type.dtype, {shapes.batch_size, 3}, grid(shapes.batch_size));
}

Tensor DummyAxesPositionsGenerator::generate(std::string_view name, const DummyContext& context,
                                             const DummyShapes& shapes, std::uint64_t seed) const {
  const Tensor one = DummyTextInputGenerator().generate(name, context, shapes, seed);
  const std::vector<std::int64_t> values = one.to_ints();
  std::vector<std::int64_t> all;
  for (int axis = 0; axis < 3; ++axis) all.insert(all.end(), values.begin(), values.end());
  return Tensor::from_ints(one.dtype, {3, one.shape.at(0), one.shape.at(1)}, all);
}

}  // namespace onnxport::models
