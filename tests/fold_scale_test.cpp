#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "onnxport/weight.h"
#include "pass/passes.h"
#include "pass/rebuild.h"
#include "pass_checks.h"

namespace onnxport::test {
namespace {

const Dim B = Dim::symbol("B");

class FoldScale : public testing::Test {
 protected:
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {B, 3, 4}});
  const Value w = graph.weight(wave({6, 4}, 1, "layer.weight"));
  const Value b = graph.weight(wave({6}, 2, "layer.bias"));

  // How many products are left.
  std::size_t products() {
    const Graph folded = pass::simplify(pass::fold_scale(copy()));
    expect_same_values(graph, folded, {{"B", 2}});
    return count(folded, Op::mul);
  }
  Graph copy() const {
    return pass::rebuild(graph, [](Graph&, const Node&) { return std::vector<Value>(); });
  }
};

TEST_F(FoldScale, AVectorBehindALinearLayer) {
  graph.output("y", op::mul(op::linear(x, w, b), graph.weight(wave({6}, 3))));
  EXPECT_EQ(products(), 0U);
}

TEST_F(FoldScale, WithoutBiasNoneIsMade) {
  graph.output("y", op::mul(graph.weight(wave({6}, 3)), op::linear(x, w)));
  const Graph folded = pass::simplify(pass::fold_scale(copy()));
  expect_same_values(graph, folded, {{"B", 2}});
  const Node& linear = *folded.outputs()[0].second.node();
  ASSERT_EQ(linear.op, Op::linear);
  EXPECT_FALSE(linear.inputs[2]);
  EXPECT_EQ(linear.inputs[1].node()->weight.name(), "layer.weight.scaled");
}

TEST_F(FoldScale, ANumberBehindWhatSplitsHeads) {
  const Value heads = op::permute(op::reshape(op::linear(x, w, b), {B, 3, 2, 3}), {0, 2, 1, 3});
  graph.output("y", op::mul(heads, 0.25));
  EXPECT_EQ(products(), 0U);
}

TEST_F(FoldScale, NoVectorBehindWhatMovesTheChannels) {
  const Value moved = op::permute(op::linear(x, w, b), {0, 2, 1});
  graph.output("y", op::mul(moved, graph.weight(wave({3}, 3))));
  EXPECT_EQ(products(), 1U);
}

TEST_F(FoldScale, NothingWhereTheResultHasOtherReaders) {
  const Value y = op::linear(x, w, b);
  graph.output("y", y);
  graph.output("scaled", op::mul(y, 0.5));
  EXPECT_EQ(products(), 1U);
}

TEST_F(FoldScale, NothingThatWidensTheResult) {
  const Value row = op::linear(graph.input("row", {DType::f32, {1, 4}}), w, b);
  graph.output("y", op::mul(row, graph.weight(wave({5, 1}, 3))));
  EXPECT_EQ(products(), 1U);
}

TEST_F(FoldScale, NothingForFactorsThatDependOnInputs) {
  graph.output("y", op::mul(op::linear(x, w, b), graph.input("scale", {DType::f32, {6}})));
  EXPECT_EQ(products(), 1U);
}

TEST_F(FoldScale, ASharedWeightStaysWhereOneReaderHasAnotherFactor) {
  const Value other = graph.input("z", {DType::f32, {B, 4}});
  graph.output("y", op::mul(op::linear(x, w, b), 0.5));
  graph.output("tied", op::linear(other, w));
  EXPECT_EQ(products(), 1U);
}

TEST_F(FoldScale, ASharedWeightWhoseReadersAllHaveTheFactor) {
  const Value other = graph.input("z", {DType::f32, {B, 4}});
  graph.output("y", op::mul(op::linear(x, w, b), 0.5));
  graph.output("tied", op::mul(op::linear(other, w, b), 0.5));
  EXPECT_EQ(products(), 0U);
}

TEST_F(FoldScale, ASumAloneStays) {
  graph.output("y", op::add(op::linear(x, w), graph.weight(wave({6}, 3))));
  const std::string before = print(graph);
  EXPECT_EQ(print(pass::fold_scale(std::move(graph))), before);
}

TEST_F(FoldScale, ANormByRecordedStatisticsBehindAConvolution) {
  const Value image = graph.input("image", {DType::f32, {B, 4, 5, 5}});
  const Weight kernel = wave({6, 2, 3, 3}, 1, "conv.weight");
  for (const bool bias : {false, true}) {
    const Value y = op::conv2d(image, graph.weight(kernel.add(wave({}, bias ? 1 : 0))), bias ? b : Value(),
                               {.padding = {1, 1}, .groups = 2});
    const Value scaled = op::mul(y, graph.weight(wave({6, 1, 1}, 3)));
    graph.output(bias ? "with bias" : "without", op::relu(op::add(scaled, graph.weight(wave({6, 1, 1}, 4)))));
  }
  const Graph folded = pass::simplify(pass::fold_scale(copy()));
  expect_same_values(graph, folded, {{"B", 2}});
  EXPECT_EQ(count(folded, Op::mul) + count(folded, Op::add), 0U) << print(folded);
}

// The product is taken in float32: rounding both operands first would lose some of it.
TEST(FoldScaleHalf, RoundsOnce) {
  constexpr std::int64_t kRows = 40000;
  Graph graph(DType::f16);
  const Value x = graph.input("x", {DType::f16, {B, 1}});
  const auto large = [](double value, const char* name) {  // too large to be computed at once
    return Weight::from_doubles(DType::f32, {kRows, 1}, std::vector<double>(kRows, value), name);
  };
  const double stored = 1 + 0.4 / 1024, scale = 1 + 0.4 / 1024;  // half precision takes both for 1
  const Value w = graph.weight(large(stored, "w"));
  const Value factor = graph.weight(large(scale, "scale").reshape({kRows}));
  graph.output("y", op::mul(op::linear(x, w), factor));
  const Graph folded = pass::simplify(pass::fold_scale(std::move(graph)));
  ASSERT_EQ(count(folded, Op::mul), 0U);
  const Weight product = folded.outputs()[0].second.node()->inputs[1].node()->weight;
  EXPECT_EQ(product.dtype(), DType::f16);
  std::vector<double> first = product.slice(0, 0, 1).to_doubles();
  EXPECT_EQ(first[0], 1 + 1.0 / 1024);
}

}  // namespace
}  // namespace onnxport::test
