#include "models/vision/common/image_positions.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "onnxport/op.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kLearned = 50;  // rows and columns, whatever the configuration

// Rows or columns, counted from `first`, as parts of all: [count]. Computed in float32 for every dtype, like
// the original.
Value parts(Graph& graph, const Dim& count, double first) {
  Value place = op::cast(op::arange(graph, count, 1), DType::f32);
  if (first != 1) place = op::add(place, first - 1);
  return op::div(place, op::add(op::cast(op::size(graph, count), DType::f32), 1e-6));
}

// The same where only some pixels count: seen, float32 [B, H, W], along one of the last two axes.
Value parts_of_seen(Value seen, std::int64_t axis, double first) {
  Value place = op::cumsum(seen, axis);
  if (first != 1) place = op::add(place, first - 1);
  return op::div(place, op::add(op::sum(seen, axis, true), 1e-6));
}

}  // namespace

Value sines_of(Value numbers, std::int64_t width, double temperature) {
  constexpr double turn = 2 * std::numbers::pi;
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < width; i += 2)
    frequencies.push_back(turn / std::pow(temperature, static_cast<double>(i) / static_cast<double>(width)));
  Graph& graph = numbers.graph();
  const auto rank = static_cast<std::int64_t>(numbers.rank());
  const Value table = graph.weight_as_is(Weight::from_doubles(DType::f32, {width / 2}, frequencies));
  const Value angles = op::mul(op::unsqueeze(numbers, rank), table);
  const Value sine = op::unsqueeze(op::sin(angles), rank + 1);
  const Value cosine = op::unsqueeze(op::cos(angles), rank + 1);
  return op::flatten(op::concat({sine, cosine}, rank + 1), rank, rank + 1);
}

ImagePositions::ImagePositions(const Scope& s, ImagePositionsKind kind, std::int64_t width,
                               const PositionSines& sines)
    : path_(s.path()), width_(width), sines_(sines), first_(kind == ImagePositionsKind::centred ? 0.5 : 1) {
  if (kind != ImagePositionsKind::learned) return;
  row_embeddings_ = s.weight("row_embeddings.weight", {kLearned, width / 2});
  column_embeddings_ = s.weight("column_embeddings.weight", {kLearned, width / 2});
}

Value ImagePositions::operator()(Value image, Value seen) const {
  const ModulePath at(image, path_);
  Graph& graph = image.graph();
  const Dim &height = image.dim(2), &width = image.dim(3);
  const Shape places = {height, width, width_ / 2};
  const auto by_row = [&](Value table) { return op::expand(op::unsqueeze(table, 1), places); };
  const auto by_column = [&](Value table) { return op::expand(op::unsqueeze(table, 0), places); };
  Value both;
  if (row_embeddings_) {
    const Value right = by_column(op::slice(graph.weight(column_embeddings_), 0, 0, width));
    const Value down = by_row(op::slice(graph.weight(row_embeddings_), 0, 0, height));
    both = op::concat({right, down}, 2);
  } else {
    const auto turned = [&](Value parts) { return sines_.turns == 1 ? parts : op::mul(parts, sines_.turns); };
    const Value real = seen ? op::cast(seen, DType::f32) : Value();
    const Value rows = turned(seen ? parts_of_seen(real, 1, first_) : parts(graph, height, first_));
    const Value columns = turned(seen ? parts_of_seen(real, 2, first_) : parts(graph, width, first_));
    Value down = sines_of(rows, width_ / 2, sines_.down);
    Value right = sines_of(columns, width_ / 2, sines_.across);
    if (!seen) {
      down = by_row(down);
      right = by_column(right);
    }
    both = op::cast(op::concat({down, right}, seen ? 3 : 2), image.dtype());
    if (seen) return op::reshape(both, {both.dim(0), height * width, width_});
  }
  return op::reshape(both, {1, height * width, width_});
}

}  // namespace onnxport::models
