// Outputs whose rows a graph ranks: the same rows in another order pass, and nothing else does.
#include "validate/row_order.h"

#include <gtest/gtest.h>

#include <vector>

#include "onnxport/op.h"

namespace onnxport::test {
namespace {

Tensor rows(const std::vector<double>& values, std::int64_t width) {
  const auto count = static_cast<std::int64_t>(values.size()) / width;
  return Tensor::from_doubles(DType::f32, {1, count, width}, values);
}

// Whether scores [1, 3, 1] and boxes [1, 3, 2] match.
bool match(const std::vector<double>& scores, const std::vector<double>& boxes) {
  const Tensor expected_scores = rows({3, 2, 1}, 1), expected_boxes = rows({1, 2, 3, 4, 5, 6}, 2);
  const Tensor got_scores = rows(scores, 1), got_boxes = rows(boxes, 2);
  OutputComparison of_scores = compare_outputs("logits", got_scores, expected_scores, 1e-3);
  OutputComparison of_boxes = compare_outputs("pred_boxes", got_boxes, expected_boxes, 1e-3);
  std::vector<validate::RankedOutput> outputs = {{got_scores, expected_scores, of_scores},
                                                 {got_boxes, expected_boxes, of_boxes}};
  validate::match_rows(outputs);
  const bool passed = of_scores.passed && of_boxes.passed;
  if (passed) EXPECT_LE(of_boxes.max_difference, of_boxes.tolerance);
  return passed;
}

TEST(RowOrder, AnotherOrderPasses) {
  EXPECT_TRUE(match({2, 3, 1}, {3, 4, 1, 2, 5, 6}));
  EXPECT_TRUE(match({1, 2, 3}, {5, 6, 3, 4, 1, 2}));
  EXPECT_TRUE(match({2, 1.0001, 3}, {3, 4, 5, 6, 1, 2}));
}

TEST(RowOrder, RowsBelongTogether) {
  EXPECT_FALSE(match({2, 3, 1}, {1, 2, 3, 4, 5, 6}));  // the order of only one output
}

TEST(RowOrder, EachRowHasOneOfItsOwn) { EXPECT_FALSE(match({3, 3, 1}, {1, 2, 1, 2, 5, 6})); }

TEST(RowOrder, AnotherRowFails) { EXPECT_FALSE(match({2, 3, 1}, {3, 4, 1, 2, 5, 6.1})); }

TEST(RowOrder, OnlyRankedRows) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {2, 8}});
  graph.output("y", op::topk(x, 5, 1).values);
  EXPECT_EQ(validate::ranked_extents(graph), std::set<std::int64_t>{5});
}

}  // namespace
}  // namespace onnxport::test
