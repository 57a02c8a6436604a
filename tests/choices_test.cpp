// A file may choose otherwise than its definition among scores that are equal up to rounding, and only there.
#include "validate/choices.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "golden_fixture.h"
#include "onnxport/export.h"
#include "onnxport/op.h"
#include "onnxport/validate.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

constexpr double kAtol = 1e-3;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Whether a ranking of [1, n] that took `own` follows a file that took these places.
bool follows(const std::vector<double>& scores, std::vector<std::int64_t> own,
             const std::vector<std::int64_t>& taken) {
  const reference::HostTensor tensor{DType::f32, {1, static_cast<std::int64_t>(scores.size())}, scores, {}};
  const std::vector<std::int64_t> before = own;
  const bool followed = validate::follow({tensor, 1, own}, taken, kAtol);
  EXPECT_EQ(own, followed ? taken : before);
  return followed;
}

TEST(Choices, EqualScores) {
  EXPECT_TRUE(follows({3, 1, 3.0001, 2}, {2, 0}, {0, 2}));     // another order
  EXPECT_TRUE(follows({3, 2, 2.0001, 1}, {0, 2}, {0, 1}));     // another one is the last
  EXPECT_TRUE(follows({3, -kInfinity, -kInfinity}, {0, 1}, {0, 2}));
  EXPECT_TRUE(follows({3000, 1, 3000.5, 2}, {2, 0}, {0, 2}));  // relative to the largest
}

TEST(Choices, OtherScores) {
  EXPECT_FALSE(follows({3, 1, 3.1, 2}, {2, 0}, {0, 2}));
  EXPECT_FALSE(follows({3, 2, 2.1, 1}, {0, 2}, {0, 1}));
  EXPECT_FALSE(follows({3, -kInfinity, 2}, {0, 2}, {0, 1}));
}

TEST(Choices, NoChoice) {
  EXPECT_FALSE(follows({3, 3, 3}, {0, 1}, {0, 0}));  // one place twice
  EXPECT_FALSE(follows({3, 3, 3}, {0, 1}, {0, 3}));
  EXPECT_FALSE(follows({3, 3, 3}, {0, 1}, {-1, 0}));
  EXPECT_FALSE(follows({3, 3, 3}, {0, 1}, {0, 1, 2}));
}

TEST(Choices, LanesOfAnAxis) {
  // The columns (3, 1, 3) and (1, 2, 2.0001), of which two are taken.
  const reference::HostTensor tensor{DType::f32, {3, 2}, {3, 1, 1, 2, 3, 2.0001}, {}};
  std::vector<std::int64_t> own = {0, 2, 2, 1};
  EXPECT_FALSE(validate::follow({tensor, 0, own}, {2, 1, 1, 2}, kAtol));
  EXPECT_TRUE(validate::follow({tensor, 0, own}, {2, 1, 0, 2}, kAtol));
  EXPECT_EQ(own, (std::vector<std::int64_t>{2, 1, 0, 2}));
}

// The interpreter computes everything behind a ranking from the places that it is given.
TEST(Choices, TheInterpreterGoesOnWithThem) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {1, 4}});
  const op::TopK best = op::topk(x, 2, 1);
  graph.output("values", best.values);
  graph.output("places", best.indices);
  const Tensor scores = Tensor::from_doubles(DType::f32, {1, 4}, std::vector<double>{5, 7, 6, 4});
  const auto take = [](const reference::Ranking& ranking) {
    EXPECT_EQ(ranking.taken, (std::vector<std::int64_t>{1, 2}));
    EXPECT_EQ(ranking.scores.reals, (std::vector<double>{5, 7, 6, 4}));
    ranking.taken = {3, 0};
  };
  const auto results = reference::interpret(graph, {{{"x", scores}}}, {}, take);
  EXPECT_EQ(results[0][0].reals, (std::vector<double>{4, 5}));
  EXPECT_EQ(results[0][1].integers, (std::vector<std::int64_t>{3, 0}));
}

// Two of ten scores differ by 2e-7, and each query attends to all others.
TEST(Choices, OfADetector) {
  const GoldenFixture fixture = read_fixture("rt_detr_v2/object-detection+v5");
  const TempFolder folder;
  synthesize(fixture, folder.path() / "checkpoint");
  const ExportReport report =
      main_export({.model = folder.path() / "checkpoint", .output = folder.path() / "out"});
  ASSERT_EQ(report.validation.size(), 1U);
  EXPECT_TRUE(report.validation[0].passed()) << to_string(report.validation[0]);
  EXPECT_NE(to_string(report.validation[0]).find("the file's choice among equal scores"), std::string::npos);
}

}  // namespace
}  // namespace onnxport::test
