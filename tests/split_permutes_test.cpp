// pass::split_permutes: patches of images, cut and put together.
#include <gtest/gtest.h>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/permutation.h"
#include "pass/rebuild.h"
#include "pass_checks.h"

namespace onnxport::test {
namespace {

const Dim B = Dim::symbol("B");
const Dim H = Dim::symbol("H");
const Dim W = Dim::symbol("W");
const DimBindings kSizes = {{"B", 2}, {"H", 2}, {"W", 3}};

class SplitPermutes : public testing::Test {
 protected:
  Graph graph;

  Value tokens(std::int64_t width) { return graph.input("tokens", {DType::f32, {B, 4, H, W, width}}); }
  Value image(std::int64_t width) { return graph.input("image", {DType::f32, {B, width, 2 * H, 2 * W}}); }
  static Value cut(Value image) {
    return op::permute(op::reshape(image, {B, image.dim(1), H, 2, W, 2}), {0, 3, 5, 2, 4, 1});
  }
  static Value together(Value tokens) {
    const Value apart = op::reshape(tokens, {B, 2, 2, H, W, tokens.dim(-1)});
    return op::reshape(op::permute(apart, {0, 5, 3, 1, 4, 2}), {B, tokens.dim(-1), 2 * H, 2 * W});
  }
  // The axes of the permutations after the pass, whose values are compared.
  std::vector<pass::Axes> after() {
    const Graph result = pass::simplify(pass::split_permutes(pass::copy(graph)));
    expect_same_values(graph, result, kSizes);
    std::vector<pass::Axes> axes;
    for (const Node& node : result.nodes()) {
      if (node.op == Op::permute) axes.push_back(node.attrs.get<pass::Axes>("axes"));
    }
    return axes;
  }
  void expect_unchanged() const {
    const Graph same = pass::copy(graph);
    EXPECT_EQ(print(pass::split_permutes(pass::copy(graph))), print(same));
  }
};

TEST_F(SplitPermutes, PatchesMoveAsRowsOfChannels) {
  graph.output("y", cut(image(16)));
  EXPECT_EQ(after(), (std::vector<pass::Axes>{{0, 2, 1}, {0, 2, 4, 1, 3, 5}}));
}

TEST_F(SplitPermutes, RowsOfChannelsBecomeAnImage) {
  graph.output("y", together(tokens(16)));
  EXPECT_EQ(after(), (std::vector<pass::Axes>{{0, 3, 1, 4, 2, 5}, {0, 2, 1}}));
}

TEST_F(SplitPermutes, OneAfterTheOther) {
  graph.output("y", cut(together(tokens(16))));
  EXPECT_EQ(after().size(), 4U);
}

// The last axis and the one that takes its place are both long: only one of both ways is taken.
TEST_F(SplitPermutes, ReshapesOnBothSides) {
  const Value x = op::reshape(graph.input("x", {DType::f32, {B, 16, 3 * 2 * 16}}), {B, 16, 3, 2, 16});
  graph.output("y", op::reshape(op::permute(x, {0, 3, 4, 2, 1}), {B, 2 * 16, 3 * 16}));
  EXPECT_EQ(after(), (std::vector<pass::Axes>{{0, 3, 2, 1, 4}, {0, 1, 3, 2}}));
}

TEST_F(SplitPermutes, OtherPermutationsStay) {
  graph.output("few", cut(image(3)));
  const Value heads = op::reshape(graph.input("x", {DType::f32, {B, H, 64}}), {B, H, 4, 16});
  graph.output("heads", op::permute(heads, {0, 2, 1, 3}));
  graph.output("keys", op::reshape(op::permute(heads, {0, 2, 3, 1}), {B * 4, 16, H}));
  graph.output("last", op::reshape(op::permute(heads, {0, 3, 1, 2}), {B, 16, 4 * H}));
  expect_unchanged();
}

TEST_F(SplitPermutes, AnImageThatOthersReadStays) {
  const Value apart = op::permute(op::reshape(tokens(16), {B, 2, 2, H, W, 16}), {0, 5, 3, 1, 4, 2});
  graph.output("image", op::reshape(apart, {B, 16, 2 * H, 2 * W}));
  graph.output("apart", op::relu(apart));
  expect_unchanged();
}

}  // namespace
}  // namespace onnxport::test
