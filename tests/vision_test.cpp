// Modules of models of images: against the ops that say the same, and values worked out by hand.
#include "onnxport/nn/vision.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport {
namespace {

using reference::HostTensor;

Weight counting(std::vector<std::int64_t> shape, double step = 1) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = step * static_cast<double>(i);
  return Weight::from_doubles(DType::f32, std::move(shape), values);
}

// Not smooth, so that each coefficient shows.
Weight bumpy(std::vector<std::int64_t> shape) {
  std::vector<double> values = counting(shape).to_doubles();
  for (double& value : values) value = std::sin(value * value);
  return Weight::from_doubles(DType::f32, std::move(shape), values);
}

HostTensor output_of(Graph& graph, Value value, const reference::Case& inputs = {}) {
  graph.output("y", value);
  return reference::interpret(graph, {inputs})[0].back();
}

TEST(GridTable, ResamplesAsInterpolateDoes) {
  constexpr std::int64_t rows = 3, columns = 5, width = 2, count = 2;
  const Weight table = bumpy({count, rows * columns, width});
  for (const char* mode : {"linear", "cubic"}) {
    for (const auto& [height, breadth] : {std::pair{3, 5}, {5, 3}, {1, 1}, {2, 11}, {9, 4}, {6, 10}}) {
      SCOPED_TRACE(fmt::format("{} to {} by {}", mode, height, breadth));
      Graph graph;
      const Value size = graph.input("size", {DType::f32, {Dim::symbol("height"), Dim::symbol("width")}});
      const nn::GridTable resample(table, {rows, columns}, mode);
      const Value got = resample(graph, size.dim(0), size.dim(1));
      const Value image =
          op::reshape(op::transpose(graph.weight(table), 1, 2), {count, width, rows, columns});
      const Value expected = nn::image_to_tokens(op::interpolate(image, {size.dim(0), size.dim(1)}, mode));
      EXPECT_EQ(got.shape(), expected.shape());
      graph.output("expected", expected);
      graph.output("got", got);
      const auto outputs =
          reference::interpret(graph, {{{"size", Tensor(DType::f32, {height, breadth})}}})[0];
      ASSERT_EQ(outputs[0].shape, outputs[1].shape);
      for (std::size_t i = 0; i < outputs[0].reals.size(); ++i)
        EXPECT_NEAR(outputs[1].reals[i], outputs[0].reals[i], 1e-9) << i;
    }
  }
}

TEST(GridTable, OfItsOwnSizeIsTheTable) {
  Graph graph;
  const Weight table = bumpy({1, 6, 4});
  const Value got = nn::GridTable(table, {2, 3}, "cubic")(graph, 2, 3);
  EXPECT_EQ(got, graph.weight(table));
  EXPECT_EQ(graph.nodes().size(), 1U);
}

TEST(GridTable, UnknownModeIsAnError) {
  Graph graph;
  EXPECT_THROW(nn::GridTable(bumpy({1, 6, 4}), {2, 3}, "lanczos")(graph, 4, 3), ExportError);
}

TEST(Vision, TokensAndImagesAreInverse) {
  Graph graph;
  const Value image = graph.weight(counting({2, 3, 4, 5}));
  const Value tokens = nn::image_to_tokens(image);
  EXPECT_EQ(tokens.shape(), (Shape{2, 20, 3}));
  const HostTensor back = output_of(graph, nn::tokens_to_image(tokens, 4, 5));
  EXPECT_EQ(back.shape, (std::vector<std::int64_t>{2, 3, 4, 5}));
  EXPECT_EQ(back.reals, counting({2, 3, 4, 5}).to_doubles());
}

TEST(Vision, PixelShuffleSpreadsChannels) {
  Graph graph;
  const Value image = graph.weight(counting({1, 8, 1, 2}));
  const HostTensor y = output_of(graph, nn::pixel_shuffle(image, 2));
  EXPECT_EQ(y.shape, (std::vector<std::int64_t>{1, 2, 2, 4}));
  EXPECT_EQ(y.reals, (std::vector<double>{0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15}));
}

TEST(Linear, ScaledIsOneLayer) {
  const Weight weight = counting({2, 3}), bias = counting({2}, 10),
               scale = counting({2}, 0.5).add(counting({2}, 1));
  const nn::Linear linear("layer", weight, bias);
  Graph graph;
  const Value x = graph.weight(counting({1, 3}, 2));
  const Value scaled = linear.scaled(scale)(x);
  const Value expected = op::mul(linear(x), graph.weight(scale));
  graph.output("expected", expected);
  graph.output("got", scaled);
  const auto outputs = reference::interpret(graph, {{}})[0];
  EXPECT_EQ(outputs[0].reals, outputs[1].reals);
  EXPECT_FALSE(nn::Linear("layer", weight, Weight()).scaled(scale).bias());
}

}  // namespace
}  // namespace onnxport
