// The passes that move permutations, linear layers and convolutions of one place through images.
#include <gtest/gtest.h>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/rebuild.h"
#include "pass_checks.h"

namespace onnxport::test {
namespace {

const Dim B = Dim::symbol("B");
const Dim H = Dim::symbol("H");
const Dim W = Dim::symbol("W");
const DimBindings kSizes = {{"B", 2}, {"H", 4}, {"W", 3}};

class ImagePasses : public testing::Test {
 protected:
  Graph graph;

  Value image(const char* name, std::int64_t channels) {
    return graph.input(name, {DType::f32, {B, channels, H, W}});
  }
  static Value first(Value x) { return op::permute(x, {0, 3, 1, 2}); }
  static Value last(Value x) { return op::permute(x, {0, 2, 3, 1}); }
  Value conv(Value x, std::int64_t out, std::int64_t kernel, double phase) {
    const std::int64_t in = *x.dim(1).constant();
    const Value weight = graph.weight(wave({out, in, kernel, kernel}, phase));
    return op::conv2d(x, weight, graph.weight(wave({out}, phase)), {.padding = {kernel / 2, kernel / 2}});
  }
  Value linear(Value x, std::int64_t out, double phase) {
    const Value weight = graph.weight(wave({out, *x.dim(-1).constant()}, phase));
    return op::linear(x, weight, graph.weight(wave({out}, phase)));
  }
  Graph copy() const {
    return pass::rebuild(graph, [](Graph&, const Node&) { return std::vector<Value>(); });
  }
  // The graph after a pass, whose values are compared.
  Graph after(Graph (*pass)(Graph)) {
    Graph result = pass::simplify(pass(copy()));
    expect_same_values(graph, result, kSizes);
    return result;
  }
  void expect_unchanged(Graph (*pass)(Graph)) { EXPECT_EQ(print(pass(copy())), print(copy())); }
};

// ---- sink_permutes ----

TEST_F(ImagePasses, ChainsOfBlocksKeepTheirChannelsLast) {
  Value x = first(op::relu(last(conv(image("x", 3), 4, 3, 0))));
  for (int i = 1; i <= 3; ++i) x = op::add(x, first(op::tanh(last(conv(x, 4, 3, i)))));
  graph.output("y", op::relu(last(x)));
  // One before and one behind each convolution.
  EXPECT_EQ(count(after(pass::sink_permutes), Op::permute), 7U);
}

TEST_F(ImagePasses, AConvolutionBesideAPermutationTakesIt) {
  const Value x = conv(image("x", 3), 4, 3, 0);
  const Value y = op::add(x, first(op::tanh(last(conv(x, 4, 3, 1)))));
  graph.output("y", op::relu(last(y)));
  const Graph result = after(pass::sink_permutes);
  EXPECT_EQ(count(result, Op::permute), 2U) << print(result);
  EXPECT_EQ(result.outputs()[0].second.node()->inputs[0].node()->op, Op::add);
}

TEST_F(ImagePasses, PermutationsThatMeetBecomeOne) {
  const Value x = image("x", 3);
  graph.output("same", op::relu(last(first(last(x)))));
  const Graph result = after(pass::sink_permutes);
  EXPECT_EQ(count(result, Op::permute), 1U);
}

TEST_F(ImagePasses, NothingMovesWhereNoPermutationIsSaved) {
  const Value x = last(image("x", 3)), y = last(image("y", 3));
  graph.output("sum", op::add(x, y));
  graph.output("x", op::relu(x));
  graph.output("y", op::relu(y));
  expect_unchanged(pass::sink_permutes);
}

TEST_F(ImagePasses, NothingMovesPastOtherAxes) {
  const Value x = image("x", 3);
  const Value square = op::reshape(graph.input("s", {DType::f32, {5, 5, 5}}), {5, 5, 5});
  graph.output("sum", op::add(op::permute(square, {1, 0, 2}), op::permute(square, {2, 1, 0})));
  graph.output("vector", op::add(last(x), graph.weight(wave({3}, 0))));
  expect_unchanged(pass::sink_permutes);
}

// ---- linear_on_images ----

TEST_F(ImagePasses, LayersAroundAnImageWorkOnTheImage) {
  const Value rows = op::reshape(last(image("x", 3)), {B * H * W, 3});
  const Value wide = first(op::reshape(linear(op::relu(rows), 8, 1), {B, H, W, 8}));
  const Value back = op::reshape(last(conv(wide, 8, 3, 2)), {B * H * W, 8});
  graph.output("y", linear(op::gelu(back), 3, 3));
  const Graph result = after(pass::linear_on_images);
  EXPECT_EQ(count(result, Op::linear), 0U) << print(result);
  for (const Node& node : result.nodes()) {
    if (node.op == Op::permute) EXPECT_EQ(numel(node.outputs[0].shape), B * H * W * 3);
  }
}

TEST_F(ImagePasses, LayersStayWherePermutationsWouldMoveMore) {
  const Value narrow = first(linear(graph.input("x", {DType::f32, {B, H, W, 8}}), 3, 1));
  const Value wide = linear(last(conv(narrow, 3, 3, 2)), 8, 3);
  graph.output("y", wide);
  EXPECT_EQ(count(after(pass::linear_on_images), Op::linear), 2U);
}

TEST_F(ImagePasses, LayersStayWhereOthersReadTheirTokens) {
  const Value tokens = linear(last(image("x", 3)), 8, 1);
  graph.output("image", conv(first(tokens), 2, 3, 2));
  graph.output("tokens", op::relu(tokens));
  EXPECT_EQ(count(after(pass::linear_on_images), Op::linear), 1U);
}

TEST_F(ImagePasses, AConvolutionOfOnePlaceOnTokensIsALinearLayer) {
  const Value tokens = op::relu(last(image("x", 8)));
  graph.output("y", op::tanh(last(conv(first(tokens), 3, 1, 1))));
  const Graph result = after(pass::linear_on_images);
  EXPECT_EQ(count(result, Op::conv), 0U);
  EXPECT_EQ(count(result, Op::permute), 1U);
}

// ---- before_resizing and compose_pointwise ----

TEST_F(ImagePasses, MixingMovesInFrontOfResizing) {
  const Value small = graph.input("small", {DType::f32, {B, 3, 2, 2}});
  const Value large = image("large", 5);
  const Value resized = op::interpolate(small, {H, W}, "linear");
  const Value cubic = op::interpolate(op::relu(small), {H, W}, "cubic");
  graph.output("y", op::relu(conv(op::concat({resized, large, cubic}, 1), 6, 1, 0)));
  const Graph result = after(pass::before_resizing);
  EXPECT_EQ(count(result, Op::concat), 0U);
  for (const Node& node : result.nodes()) {
    if (node.op == Op::interpolate) EXPECT_EQ(node.inputs[0].node()->op, Op::conv);
  }
}

TEST_F(ImagePasses, MixingMovesInFrontOfAlignedCorners) {
  const Value x = graph.input("x", {DType::f32, {B, 3, 2, 2}});
  graph.output("y", op::relu(conv(op::interpolate(x, {4, 4}, "linear", true), 6, 1, 0)));
  const Graph result = after(pass::before_resizing);
  EXPECT_EQ(result.outputs()[0].second.node()->inputs[0].node()->op, Op::interpolate);
}

TEST_F(ImagePasses, MixingStaysWhereImagesBecomeSmallerOrKernelsAreLarger) {
  const Value x = graph.input("x", {DType::f32, {B, 3, 8, 8}});
  graph.output("smaller", conv(op::interpolate(x, {4, 4}, "linear"), 6, 1, 0));
  graph.output("kernel", conv(op::interpolate(x, {16, 16}, "linear"), 6, 3, 0));
  expect_unchanged(pass::before_resizing);
}

TEST_F(ImagePasses, MixingStaysWhereOthersReadTheResizedImage) {
  const Value resized = op::interpolate(graph.input("x", {DType::f32, {B, 3, 2, 2}}), {H, W}, "linear");
  graph.output("y", conv(resized, 6, 1, 0));
  graph.output("resized", op::relu(resized));
  expect_unchanged(pass::before_resizing);
}

TEST_F(ImagePasses, TwoConvolutionsOfOnePlaceBecomeOne) {
  graph.output("y", op::relu(conv(conv(image("x", 3), 8, 1, 0), 4, 1, 1)));
  EXPECT_EQ(count(after(pass::compose_pointwise), Op::conv), 1U);
}

TEST_F(ImagePasses, OfThreeConvolutionsTwoBecomeOne) {
  graph.output("y", conv(conv(conv(image("x", 3), 8, 1, 0), 8, 1, 1), 4, 1, 2));
  EXPECT_EQ(count(after(pass::compose_pointwise), Op::conv), 2U);
}

TEST_F(ImagePasses, ANarrowMiddleStaysNarrow) {
  graph.output("y", conv(conv(image("x", 8), 2, 1, 0), 8, 1, 1));
  expect_unchanged(pass::compose_pointwise);
}

TEST_F(ImagePasses, ConvolutionsThatOthersReadStay) {
  const Value middle = conv(image("x", 3), 8, 1, 0);
  graph.output("y", conv(middle, 4, 1, 1));
  graph.output("middle", middle);
  expect_unchanged(pass::compose_pointwise);
}

// ---- sum_by_product ----

TEST_F(ImagePasses, SumsOverPlacesAreProducts) {
  const Value places = op::flatten(last(image("x", 3)), 1, 2);
  const Value known = graph.input("known", {DType::f32, {2, 32, 3}});
  graph.output("y", op::sum(places, 1));
  graph.output("kept", op::sum(op::mul(places, places), 1, true));
  graph.output("known", op::sum(known, 1));
  const Graph result = after(pass::sum_by_product);
  EXPECT_EQ(count(result, Op::sum), 0U);
  EXPECT_EQ(count(result, Op::matmul), 3U);
}

TEST_F(ImagePasses, OtherSumsStay) {
  const Value x = image("x", 3);
  graph.output("rows", op::sum(x, 2));                       // one extent, as of a sequence
  graph.output("places", op::sum(op::flatten(x, 2, 3), 2));  // the last axis
  graph.output("few", op::sum(op::reshape(x, {B * H, 3, W}), 1));
  const Value ids = op::reshape(op::arange(graph, H * W * 3), {H * W, 3});
  graph.output("integers", op::cast(op::sum(ids, 0), DType::f32));
  expect_unchanged(pass::sum_by_product);
}

// ---- permute_images ----

TEST_F(ImagePasses, TokensBetweenConvolutionsArePermutedAsImages) {
  const Value x = conv(image("x", 3), 4, 3, 0);
  const Value tokens = op::tanh(op::transpose(op::flatten(x, 2, 3), 1, 2));
  const Value back = op::reshape(op::transpose(tokens, 1, 2), {B, 4, H, W});
  graph.output("y", op::add(conv(back, 4, 3, 1), conv(back, 4, 1, 2)));
  const Graph result = after(pass::permute_images);
  EXPECT_EQ(count(result, Op::permute), 2U) << print(result);
  for (const Node& node : result.nodes()) {
    if (node.op == Op::permute) {
      EXPECT_EQ(node.outputs[0].shape.size(), 4U);
    } else if (node.op == Op::conv) {
      EXPECT_NE(node.inputs[0].node()->op, Op::reshape);
    }
  }
}

TEST_F(ImagePasses, OtherTokensKeepTheirPermutation) {
  const Value tokens = op::transpose(op::flatten(op::tanh(image("x", 3)), 2, 3), 1, 2);
  const Value back = op::reshape(op::transpose(op::relu(tokens), 1, 2), {B, 3, H, W});
  graph.output("y", op::tanh(back));
  // Heads of channels are no flat image, and neither is an image of other channels.
  const Value heads = op::reshape(conv(image("z", 3), 4, 3, 0), {B, 2, H * W * 2});
  graph.output("heads", op::transpose(heads, 1, 2));
  graph.output("other", conv(op::reshape(op::transpose(op::relu(tokens), 1, 2), {B, 1, H * 3, W}), 2, 1, 1));
  expect_unchanged(pass::permute_images);
}

}  // namespace
}  // namespace onnxport::test
