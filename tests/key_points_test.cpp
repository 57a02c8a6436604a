// Key points of images, against plain loops.
#include "models/vision/common/key_points.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::models {
namespace {

using Reals = std::vector<double>;

constexpr std::int64_t kBatch = 3, kRows = 5, kColumns = 4;

// The last image has no high score.
Reals scores() {
  Reals all;
  for (std::int64_t i = 0; i < kBatch * kRows * kColumns; ++i) {
    const double factor = i < 2 * kRows * kColumns ? 1.0 : 0.01;
    all.push_back(factor * (0.5 + 0.5 * std::sin(2.3 * static_cast<double>(i * i))));
  }
  return all;
}

struct Point {
  std::int64_t row, column;
  double score;
};

// Row by row; with too many, those with the highest scores in that order.
std::vector<Point> loop(const Reals& all, std::int64_t image, const KeyPointParameters& p) {
  std::vector<Point> points;
  for (std::int64_t y = p.border; y < kRows; ++y) {
    for (std::int64_t x = p.border; x < kColumns; ++x) {
      const double score = all[static_cast<std::size_t>((image * kRows + y) * kColumns + x)];
      if (score > p.threshold) points.push_back({y, x, score});
    }
  }
  if (p.most > 0 && std::ssize(points) > p.most) {
    std::stable_sort(points.begin(), points.end(),
                     [](const Point& a, const Point& b) { return a.score > b.score; });
    points.resize(static_cast<std::size_t>(p.most));
  }
  return points;
}

void expect_the_loop(const KeyPointParameters& p, double factor = 1) {
  Reals all = scores();
  for (double& one : all) one *= factor;
  Graph graph;
  const Value input = graph.input(
      "scores", {DType::f32, {Dim::symbol("batch"), Dim::symbol("rows"), Dim::symbol("columns")}});
  const KeyPoints points = key_points(input, p);
  for (const Value& value : {points.rows, points.columns, points.scores, points.real})
    EXPECT_EQ(value.dim(1), key_point_count());
  graph.output("rows", points.rows);
  graph.output("columns", points.columns);
  graph.output("scores", points.scores);
  graph.output("real", op::cast(points.real, DType::f32));
  const auto got = reference::interpret(
      graph, {{{"scores", Tensor::from_doubles(DType::f32, {kBatch, kRows, kColumns}, all)}}})[0];

  std::size_t most = 0;
  std::vector<std::vector<Point>> expected;
  for (std::int64_t image = 0; image < kBatch; ++image) {
    expected.push_back(loop(all, image, p));
    most = std::max(most, expected.back().size());
  }
  ASSERT_EQ(got[3].shape, (std::vector<std::int64_t>{kBatch, static_cast<std::int64_t>(most)}));
  for (std::size_t image = 0; image < expected.size(); ++image) {
    for (std::size_t i = 0; i < most; ++i) {
      const std::size_t at = image * most + i;
      const bool real = i < expected[image].size();
      EXPECT_EQ(got[3].reals[at], real ? 1.0 : 0.0) << image << ", " << i;
      if (!real) continue;
      EXPECT_EQ(got[0].integers[at], expected[image][i].row) << image << ", " << i;
      EXPECT_EQ(got[1].integers[at], expected[image][i].column) << image << ", " << i;
      EXPECT_NEAR(got[2].reals[at], expected[image][i].score, 1e-6) << image << ", " << i;
    }
  }
}

TEST(KeyPoints, ComeRowByRow) { expect_the_loop({.threshold = 0.6}); }
TEST(KeyPoints, KeepAwayFromTheBorder) { expect_the_loop({.threshold = 0.3, .border = 2}); }
TEST(KeyPoints, AreTheBestIfThereAreTooMany) { expect_the_loop({.threshold = 0.5, .most = 4}); }
TEST(KeyPoints, MayBeFewerThanAllowed) { expect_the_loop({.threshold = 0.9, .most = 12}); }
TEST(KeyPoints, MayNotExist) { expect_the_loop({.threshold = 0.6}, 0.1); }

TEST(LocalMaxima, SuppressWhatIsNearTwice) {
  // 3 suppresses 2, which suppressed 1: 1 is a maximum again.
  Graph graph;
  const Value row = graph.weight(Weight::from_doubles(DType::f32, {1, 1, 1, 5}, Reals{3, 2, 1, 0.5, 0.75}));
  graph.output("y", local_maxima(row, 1));
  EXPECT_EQ(reference::interpret(graph, {reference::Case{}})[0].back().reals, (Reals{3, 0, 1, 0, 0.75}));
}

TEST(BilinearAt, MixesFourPixels) {
  Graph graph;
  const Value image = graph.weight(Weight::from_doubles(DType::f32, {1, 1, 2, 3}, Reals{1, 2, 3, 4, 5, 6}));
  const Reals rows = {0, 0.25, 1, -0.5, 1}, columns = {0, 1.5, 2, 0, 2.25};
  const auto place = [&](const Reals& reals) {
    return graph.weight(Weight::from_doubles(DType::f32, {1, 5}, reals));
  };
  const Value y = place(rows);
  const Value got = bilinear_at(image, y, place(columns));
  EXPECT_EQ(got.shape(), (Shape{1, 5, 1}));
  graph.output("y", got);
  const Reals expected = {1, 0.75 * 2.5 + 0.25 * 5.5, 6, 0.5, 0.75 * 6};
  const Reals reals = reference::interpret(graph, {reference::Case{}})[0].back().reals;
  ASSERT_EQ(reals.size(), expected.size());
  for (std::size_t i = 0; i < reals.size(); ++i) EXPECT_NEAR(reals[i], expected[i], 1e-6) << i;
}

}  // namespace
}  // namespace onnxport::models
