#include "models/vision/common/image_positions.h"

#include <cmath>
#include <numbers>
#include <vector>

#include "onnxport/op.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kLearned = 50;  // rows and columns, whatever the configuration

// Alternating sines and cosines of the angles for width / 2 frequencies: [count, width].
Value sine_positions(Graph& graph, const Dim& count, std::int64_t width) {
  constexpr double turn = 2 * std::numbers::pi;
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < width; i += 2)
    frequencies.push_back(turn / std::pow(10000.0, static_cast<double>(i) / static_cast<double>(width)));
  // Computed in float32 for every dtype, like the original.
  const Value place = op::cast(op::arange(graph, count, 1), DType::f32);
  const Value all = op::add(op::cast(op::size(graph, count), DType::f32), 1e-6);
  const Value part = op::unsqueeze(op::div(place, all), 1);
  const Value angles =
      op::mul(part, graph.weight_as_is(Weight::from_doubles(DType::f32, {width / 2}, frequencies)));
  const Value sine = op::unsqueeze(op::sin(angles), 2), cosine = op::unsqueeze(op::cos(angles), 2);
  return op::flatten(op::concat({sine, cosine}, 2), 1, 2);
}

}  // namespace

ImagePositions::ImagePositions(const Scope& s, ImagePositionsKind kind, std::int64_t width)
    : path_(s.path()), width_(width) {
  if (kind == ImagePositionsKind::sine) return;
  row_embeddings_ = s.weight("row_embeddings.weight", {kLearned, width / 2});
  column_embeddings_ = s.weight("column_embeddings.weight", {kLearned, width / 2});
}

Value ImagePositions::operator()(Value image) const {
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
    const Value down = by_row(sine_positions(graph, height, width_ / 2));
    const Value right = by_column(sine_positions(graph, width, width_ / 2));
    both = op::cast(op::concat({down, right}, 2), image.dtype());
  }
  return op::reshape(both, {1, height * width, width_});
}

}  // namespace onnxport::models
