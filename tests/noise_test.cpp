// Noise that is computed from places: its distribution, and that nothing repeats.
#include "onnxport/nn/noise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

std::vector<double> normal(std::int64_t count, std::int64_t seed) {
  Graph graph;
  graph.output("y", nn::normal_noise(graph, {2, count / 2}, seed));
  return reference::interpret(graph, {{}})[0][0].reals;
}

TEST(Noise, IsNormallyDistributed) {
  constexpr std::int64_t kCount = 20000;
  const std::vector<double> noise = normal(kCount, 1);
  ASSERT_EQ(noise.size(), static_cast<std::size_t>(kCount));
  double moments[4] = {};
  double neighbours = 0;
  for (std::size_t i = 0; i < noise.size(); ++i) {
    double power = 1;
    for (double& moment : moments) moment += (power *= noise[i]) / kCount;
    if (i > 0) neighbours += noise[i] * noise[i - 1] / kCount;
  }
  EXPECT_NEAR(moments[0], 0, 0.03);
  EXPECT_NEAR(moments[1], 1, 0.05);
  EXPECT_NEAR(moments[2], 0, 0.15);
  EXPECT_NEAR(moments[3], 3, 0.3);
  EXPECT_NEAR(neighbours, 0, 0.03);
}

TEST(Noise, DiffersByPlaceAndSeed) {
  std::vector<double> noise = normal(10000, 0);
  const std::vector<double> other = normal(10000, 1);
  double product = 0;
  for (std::size_t i = 0; i < noise.size(); ++i) product += noise[i] * other[i] / 10000;
  EXPECT_NEAR(product, 0, 0.04);
  const std::set<double> different(noise.begin(), noise.end());
  EXPECT_GT(different.size(), noise.size() - 100);
  EXPECT_EQ(normal(10000, 0), noise);  // again the same
}

TEST(Noise, StaysBetweenZeroAndOne) {
  Graph graph;
  graph.output("y", nn::uniform_noise(op::arange(graph, 50000), 3));
  const std::vector<double> reals = reference::interpret(graph, {{}})[0][0].reals;
  const auto [least, most] = std::minmax_element(reals.begin(), reals.end());
  EXPECT_GT(*least, 0);
  EXPECT_LT(*least, 0.001);
  EXPECT_GT(*most, 0.999);
  EXPECT_LT(*most, 1);
}

}  // namespace
}  // namespace onnxport::test
