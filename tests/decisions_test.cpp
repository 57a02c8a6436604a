// A file may decide otherwise than its definition between values that are equal up to rounding, and only
// there.
#include "validate/decisions.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "golden_fixture.h"
#include "onnxport/export.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
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
  const bool followed = validate::follow({Op::topk, tensor, 1, own}, taken, kAtol);
  EXPECT_EQ(own, followed ? taken : before);
  return followed;
}

TEST(Decisions, EqualScores) {
  EXPECT_TRUE(follows({3, 1, 3.0001, 2}, {2, 0}, {0, 2}));  // another order
  EXPECT_TRUE(follows({3, 2, 2.0001, 1}, {0, 2}, {0, 1}));  // another one is the last
  EXPECT_TRUE(follows({3, -kInfinity, -kInfinity}, {0, 1}, {0, 2}));
  EXPECT_TRUE(follows({3000, 1, 3000.5, 2}, {2, 0}, {0, 2}));  // relative to the largest
}

TEST(Decisions, OtherScores) {
  EXPECT_FALSE(follows({3, 1, 3.1, 2}, {2, 0}, {0, 2}));
  EXPECT_FALSE(follows({3, 2, 2.1, 1}, {0, 2}, {0, 1}));
  EXPECT_FALSE(follows({3, -kInfinity, 2}, {0, 2}, {0, 1}));
  EXPECT_FALSE(follows({3, 2, 2.1, -1e9}, {0, 2}, {0, 1}));  // a mask fill is no magnitude
}

TEST(Decisions, NoChoice) {
  EXPECT_FALSE(follows({3, 3, 3}, {0, 1}, {0, 0}));  // one place twice
  EXPECT_FALSE(follows({3, 3, 3}, {0, 1}, {0, 3}));
  EXPECT_FALSE(follows({3, 3, 3}, {0, 1}, {-1, 0}));
  EXPECT_FALSE(follows({3, 3, 3}, {0, 1}, {0, 1, 2}));
}

TEST(Decisions, LanesOfAnAxis) {
  // The columns (3, 1, 3) and (1, 2, 2.0001), of which two are taken.
  const reference::HostTensor tensor{DType::f32, {3, 2}, {3, 1, 1, 2, 3, 2.0001}, {}};
  std::vector<std::int64_t> own = {0, 2, 2, 1};
  EXPECT_FALSE(validate::follow({Op::topk, tensor, 0, own}, {2, 1, 1, 2}, kAtol));
  EXPECT_TRUE(validate::follow({Op::topk, tensor, 0, own}, {2, 1, 0, 2}, kAtol));
  EXPECT_EQ(own, (std::vector<std::int64_t>{2, 1, 0, 2}));
}

// The interpreter computes everything behind a ranking from the places that it is given.
TEST(Decisions, TheInterpreterGoesOnWithThem) {
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
  const auto results = reference::interpret(graph, {{{"x", scores}}}, {}, {.ranking = take});
  EXPECT_EQ(results[0][0].reals, (std::vector<double>{4, 5}));
  EXPECT_EQ(results[0][1].integers, (std::vector<std::int64_t>{3, 0}));
}

// Whether a comparison with zero follows a file.
bool follows(const std::vector<double>& margins, const std::vector<std::int64_t>& holds) {
  const reference::HostTensor tensor{DType::f32, {static_cast<std::int64_t>(margins.size())}, margins, {}};
  std::vector<std::int64_t> own;
  for (const double margin : margins) own.push_back(margin < 0 ? 1 : 0);
  return validate::follow({Op::lt, tensor, own}, holds, kAtol);
}

TEST(Decisions, Comparisons) {
  EXPECT_TRUE(follows({-0.5, 0.0001, 0.5}, {1, 1, 0}));
  EXPECT_TRUE(follows({-0.5, -0.0001, 0.5}, {1, 0, 0}));
  EXPECT_FALSE(follows({-0.5, 0.01, 0.5}, {1, 1, 0}));
  EXPECT_FALSE(follows({-0.5, 0.0001, 0.5}, {0, 0, 0}));
  EXPECT_FALSE(follows({-0.5, 0.0001}, {1, 1, 1}));
}

// Integers are never equal up to rounding.
TEST(Decisions, Integers) {
  const reference::HostTensor numbers{DType::i64, {1, 3}, {}, {1, 2, 2}};
  std::vector<std::int64_t> own = {1};
  EXPECT_FALSE(validate::follow({Op::argmax, numbers, 1, own}, {2}, kAtol));
  EXPECT_FALSE(validate::follow({Op::lt, {DType::i64, {1}, {}, {}}, own}, {0}, kAtol));
}

TEST(Decisions, TheInterpreterTellsOfComparisons) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {2}});
  graph.output("y", op::where(op::lt(x, 1.0), x, op::neg(x)));
  const Tensor values = Tensor::from_doubles(DType::f32, {2}, std::vector<double>{0.5, 3});
  const auto change = [](const reference::Comparison& comparison) {
    EXPECT_EQ(comparison.op, Op::lt);
    EXPECT_EQ(comparison.margins.reals, (std::vector<double>{-0.5, 2}));
    EXPECT_EQ(comparison.holds, (std::vector<std::int64_t>{1, 0}));
    comparison.holds = {0, 1};
  };
  const auto results = reference::interpret(graph, {{{"x", values}}}, {}, {.comparison = change});
  EXPECT_EQ(results[0][0].reals, (std::vector<double>{-0.5, 3}));
}

// Two of ten scores differ by 2e-7, and each query attends to all others.
TEST(Decisions, OfADetector) {
  const GoldenFixture fixture = read_fixture("rt_detr_v2/object-detection+v5");
  const TempFolder folder;
  synthesize(fixture, folder.path() / "checkpoint");
  const ExportReport report =
      main_export({.model = folder.path() / "checkpoint", .output = folder.path() / "out"});
  ASSERT_EQ(report.validation.size(), 1U);
  EXPECT_TRUE(report.validation[0].passed()) << to_string(report.validation[0]);
  EXPECT_NE(to_string(report.validation[0]).find("with the file's decisions between equal values"),
            std::string::npos);
}

}  // namespace
}  // namespace onnxport::test
