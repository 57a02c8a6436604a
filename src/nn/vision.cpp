#include "onnxport/nn/vision.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::nn {

Value image_to_tokens(Value image) { return op::transpose(op::flatten(image, 2, 3), 1, 2); }

Value tokens_to_image(Value tokens, const Dim& rows, const Dim& columns) {
  return op::reshape(op::transpose(tokens, 1, 2), {tokens.dim(0), tokens.dim(2), rows, columns});
}

Value pixel_shuffle(Value image, std::int64_t factor) {
  const Dim& batch = image.dim(0);
  const Dim channels = image.dim(1).floor_div(factor * factor);
  const Dim &rows = image.dim(2), &columns = image.dim(3);
  const Value apart = op::reshape(image, {batch, channels, factor, factor, rows, columns});
  const Value together = op::permute(apart, {0, 1, 4, 2, 5, 3});
  return op::reshape(together, {batch, channels, rows * factor, columns * factor});
}

Value pixel_unshuffle(Value image, std::int64_t factor) {
  const Dim &batch = image.dim(0), &channels = image.dim(1);
  const Dim rows = image.dim(2).floor_div(factor), columns = image.dim(3).floor_div(factor);
  const Value apart = op::reshape(image, {batch, channels, rows, factor, columns, factor});
  const Value together = op::permute(apart, {0, 1, 3, 5, 2, 4});
  return op::reshape(together, {batch, channels * (factor * factor), rows, columns});
}

namespace {

// The cubic convolution of Keys 1981 with the coefficient a, at distances >= 0.
Value cubic_kernel(Value distance, double a) {
  // Up to 1: ((a + 2) d - (a + 3)) d² + 1.
  const Value square = op::mul(distance, distance);
  const Value slope = op::sub(op::mul(distance, a + 2), a + 3);
  const Value near = op::add(op::mul(slope, square), 1.0);
  // Up to 2: (((d - 5) d + 8) d - 4) a.
  const Value quadratic = op::add(op::mul(op::sub(distance, 5.0), distance), 8.0);
  const Value far = op::mul(op::sub(op::mul(quadratic, distance), 4.0), a);
  const Value in_reach = op::lt(distance, 2.0);
  const Value zero = op::scalar(distance.graph(), 0.0, distance.dtype());
  const Value outer = op::where(in_reach, far, zero);
  return op::where(op::lt(distance, 1.0), near, outer);
}

// [from + 2 * margin, from]: elements beyond the ends count as the outermost ones.
Weight clamped_ends(std::int64_t from, std::int64_t margin) {
  const std::int64_t rows = from + 2 * margin;
  std::vector<double> values(static_cast<std::size_t>(rows * from), 0.0);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t at = std::clamp<std::int64_t>(row - margin, 0, from - 1);
    values[static_cast<std::size_t>(row * from + at)] = 1.0;
  }
  return Weight::from_doubles(DType::f32, {rows, from}, values);
}

}  // namespace

Value resampling_matrix(Graph& graph, const Dim& to, std::int64_t from, std::string_view mode) {
  // Element i of the result has its centre at (i + 1/2) / to of the axis, element m of the table at (m + 1/2)
  // / from. Their distance in elements of the table is |(2i + 1) from - (2m + 1) to| / (2 to), which is exact
  // except for the division.
  const bool antialiased = mode == "antialiased cubic";
  const std::int64_t margin = antialiased ? 0 : mode == "cubic" ? 2 : 1;
  std::vector<std::int64_t> odd;
  for (std::int64_t m = -margin; m < from + margin; ++m) odd.push_back(2 * m + 1);
  const Value theirs = graph.weight(Weight::from_ints({static_cast<std::int64_t>(odd.size())}, odd));
  const Value reach = op::mul(theirs, op::size(graph, to));
  const Value places = op::mul(op::arange(graph, to), static_cast<double>(2 * from));
  const Value centres = op::unsqueeze(op::add(places, static_cast<double>(from)), 1);
  const Value apart = op::abs(op::cast(op::sub(centres, reach), DType::f32));
  const Value distance = op::div(apart, op::cast(op::size(graph, to * 2), DType::f32));
  Value coefficients;
  if (antialiased) {
    const Value steps = op::cast(op::size(graph, to), DType::f32);
    const Value step = op::div(op::scalar(graph, static_cast<double>(from), DType::f32), steps);
    coefficients = cubic_kernel(op::div(distance, op::maximum(step, 1.0)), -0.5);
    return op::div(coefficients, op::sum(coefficients, 1, true));
  }
  if (mode == "cubic") {
    coefficients = cubic_kernel(distance, -0.75);
  } else if (mode == "linear") {
    coefficients = op::maximum(op::sub(1.0, distance), 0.0);
  } else {
    throw ExportError(ErrorCode::internal, fmt::format("resampling: unknown mode '{}'", mode));
  }
  return op::matmul(coefficients, graph.weight_as_is(clamped_ends(from, margin)));
}

GridTable::GridTable(const Weight& table, KernelSize grid, std::string mode)
    : table_(table), grid_(grid), mode_(std::move(mode)) {}

Value GridTable::operator()(Graph& graph, const Dim& rows, const Dim& columns) const {
  if (rows == Dim(grid_.height) && columns == Dim(grid_.width)) return graph.weight(table_);
  const std::int64_t count = table_.shape()[0], width = table_.shape()[2];
  // Computed in float32, because half precision would lose precision of the checkpoint.
  const Weight grid = table_.cast(DType::f32);
  const Value by_row = graph.weight_as_is(grid.reshape({count, grid_.height, grid_.width * width}));
  const Value vertical = op::matmul(resampling_matrix(graph, rows, grid_.height, mode_), by_row);
  const Value by_column = op::reshape(vertical, {rows * count, grid_.width, width});
  const Value both = op::matmul(resampling_matrix(graph, columns, grid_.width, mode_), by_column);
  return op::cast(op::reshape(both, {count, rows * columns, width}), graph.float_dtype());
}

namespace {

// Of those with positions.
std::int64_t count_of(const std::vector<LearnedTokens>& tokens) {
  std::int64_t count = 0;
  for (const LearnedTokens& each : tokens) count += each.placed ? each.count : 0;
  return count;
}

// A table [1, count_of(tokens), width] with zeros for the other tokens.
Weight with_gaps(const Weight& table, const std::vector<LearnedTokens>& tokens) {
  const auto placed = [](const LearnedTokens& each) { return each.placed || each.count == 0; };
  if (std::all_of(tokens.begin(), tokens.end(), placed)) return table;
  std::vector<Weight> parts;
  std::int64_t row = 0;
  for (const LearnedTokens& each : tokens) {
    if (each.placed) {
      parts.push_back(table.slice(1, row, row + each.count));
      row += each.count;
    } else if (each.count > 0) {
      const std::vector<std::int64_t> shape = {1, each.count, table.shape()[2]};
      const std::vector<double> zeros(static_cast<std::size_t>(shape[1] * shape[2]), 0.0);
      parts.push_back(Weight::from_doubles(table.dtype(), shape, zeros));
    }
  }
  return Weight::concat(parts, 1);
}

}  // namespace

ImageTokens::Placed ImageTokens::read(const Scope& s, const std::vector<LearnedTokens>& tokens,
                                      std::int64_t width) {
  if (tokens.empty()) return {};
  std::vector<Weight> parts;
  for (const LearnedTokens& each : tokens) {
    if (each.count == 0) {
      s.ignore(each.name);
    } else {
      parts.push_back(s.weight(each.name, {1, each.count, width}));
    }
  }
  return {Weight::concat(parts, 1), {}};
}

ImageTokens::ImageTokens(const Scope& s, const ImageTokensParameters& p)
    : path_(s.path()),
      projection_(s / p.projection, p.channels, p.hidden_size, p.patch, true,
                  {.stride = {p.patch.height, p.patch.width}}) {
  const std::int64_t first = count_of(p.before), last = first + p.grid.height * p.grid.width;
  before_ = read(s, p.before, p.hidden_size);
  behind_ = read(s, p.behind, p.hidden_size);
  if (!p.positions) return;
  const std::int64_t all = last + count_of(p.behind);
  const Weight table = s.weight("position_embeddings", {1, all, p.hidden_size});
  positions_.emplace(table.slice(1, first, last), p.grid, p.resampling);
  if (first > 0) before_.positions = with_gaps(table.slice(1, 0, first), p.before);
  if (all > last) behind_.positions = with_gaps(table.slice(1, last, all), p.behind);
}

Value ImageTokens::operator()(Value pixel_values) const {
  const ModulePath at(pixel_values, path_);
  Graph& graph = pixel_values.graph();
  const Value image = projection_(pixel_values);
  Value patches = image_to_tokens(image);
  if (positions_) {
    const Value positions = (*positions_)(graph, image.dim(2), image.dim(3));
    patches = op::add(patches, positions);
  }
  const Dim& batch = image.dim(0);
  // The same for all images.
  const auto add_learned = [&](std::vector<Value>& parts, const Placed& learned) {
    if (!learned.tokens) return;
    Value one = graph.weight(learned.tokens);
    if (learned.positions) one = op::add(one, graph.weight(learned.positions));
    parts.push_back(op::expand(one, {batch, one.dim(1), one.dim(2)}));
  };
  std::vector<Value> parts;
  add_learned(parts, before_);
  parts.push_back(patches);
  add_learned(parts, behind_);
  return parts.size() == 1 ? parts.front() : op::concat(std::move(parts), 1);
}

}  // namespace onnxport::nn
