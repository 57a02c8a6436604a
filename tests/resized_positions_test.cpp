// Positions of patches from a resized table, against the loops of torch.nn.functional.interpolate with
// antialias.
#include "models/multimodal/common/patches/resized_positions.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::models {
namespace {

using Reals = std::vector<double>;

constexpr std::int64_t kSide = 4, kWidth = 3, kPatches = 24;

double table_at(std::int64_t row, std::int64_t column, std::int64_t at) {
  return std::sin(1.7 * static_cast<double>((row * kSide + column) * kWidth + at));
}

// The weights of the table's elements in element i of an axis of this extent: a triangle within its support.
Reals weights(std::int64_t i, std::int64_t extent) {
  const double scale = static_cast<double>(kSide) / static_cast<double>(extent);
  const double support = std::max(scale, 1.0), centre = scale * (static_cast<double>(i) + 0.5);
  const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(std::trunc(centre - support + 0.5)), 0);
  const auto last =
      std::min<std::int64_t>(static_cast<std::int64_t>(std::trunc(centre + support + 0.5)), kSide);
  Reals all(kSide, 0.0);
  double sum = 0;
  for (std::int64_t m = first; m < last; ++m) {
    const double distance = std::abs((static_cast<double>(m) - centre + 0.5) / support);
    sum += all[static_cast<std::size_t>(m)] = std::max(1 - distance, 0.0);
  }
  for (double& weight : all) weight /= sum;
  return all;
}

double resized(std::int64_t rows, std::int64_t columns, std::int64_t patch, std::int64_t at) {
  if (patch >= rows * columns) patch = 0;
  const Reals down = weights(patch / columns, rows), across = weights(patch % columns, columns);
  double sum = 0;
  for (std::int64_t y = 0; y < kSide; ++y) {
    for (std::int64_t x = 0; x < kSide; ++x)
      sum += down[static_cast<std::size_t>(y)] * across[static_cast<std::size_t>(x)] * table_at(y, x, at);
  }
  return sum;
}

TEST(ResizedPositions, AreThoseOfPyTorch) {
  Reals table;
  for (std::int64_t cell = 0; cell < kSide * kSide; ++cell) {
    for (std::int64_t at = 0; at < kWidth; ++at) table.push_back(table_at(cell / kSide, cell % kSide, at));
  }
  const std::vector<std::int64_t> shapes = {4, 4, 1, 1, 2, 7, 8, 3, 1, 24, 3, 5};
  const auto images = static_cast<std::int64_t>(shapes.size() / 2);
  Graph graph;
  const Value input = graph.input("spatial_shapes", {DType::i64, {Dim::symbol("batch"), 2}});
  const Weight weight = Weight::from_doubles(DType::f32, {kSide * kSide, kWidth}, table);
  const Value positions = resized_positions(weight, kSide, input, kPatches);
  EXPECT_EQ(to_string(positions.shape()), "[batch, 24, 3]");
  graph.output("positions", positions);
  const auto got = reference::interpret(
      graph, {{{"spatial_shapes", Tensor::from_ints(DType::i64, {images, 2}, shapes)}}})[0];
  const Reals& values = got.at(0).reals;
  std::size_t i = 0;
  for (std::size_t image = 0; image < shapes.size(); image += 2) {
    for (std::int64_t patch = 0; patch < kPatches; ++patch) {
      for (std::int64_t at = 0; at < kWidth; ++at, ++i) {
        EXPECT_NEAR(values.at(i), resized(shapes[image], shapes[image + 1], patch, at), 1e-6)
            << "image " << image / 2 << ", patch " << patch;
      }
    }
  }
}

}  // namespace
}  // namespace onnxport::models
