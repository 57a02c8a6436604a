// Sampling of images at places: values worked out by hand, and what inference refuses.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "errors.h"
#include "lower/lower.h"
#include "lower/target.h"
#include "onnxport/index_ops.h"
#include "onnxport/op.h"
#include "pipeline/lower_model.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

using Reals = std::vector<double>;

// The image [1 2 4; 8 16 32] at places (column, row).
Reals sample(const Reals& places, const char* mode = "bilinear", const char* padding = "zeros",
             bool align_corners = false) {
  Graph graph;
  const auto count = static_cast<std::int64_t>(places.size()) / 2;
  const Value x = graph.input("x", {DType::f32, {1, 1, 2, 3}});
  const Value grid = graph.input("grid", {DType::f32, {1, 1, count, 2}});
  graph.output("y", op::grid_sample(x, grid, mode, padding, align_corners));
  const reference::Case inputs = {
      {"x", Tensor::from_doubles(DType::f32, {1, 1, 2, 3}, Reals{1, 2, 4, 8, 16, 32})},
      {"grid", Tensor::from_doubles(DType::f32, {1, 1, count, 2}, places)}};
  return reference::interpret(graph, {inputs})[0][0].reals;
}

TEST(GridSample, ReadsCentres) {
  const double third = 2.0F / 3;  // places are float32
  const Reals got = sample({-third, -0.5, 0, -0.5, third, 0.5});
  EXPECT_NEAR(got[0], 1, 1e-6);
  EXPECT_EQ(got[1], 2);
  EXPECT_NEAR(got[2], 32, 1e-5);
}

TEST(GridSample, MixesFourNeighbours) {
  EXPECT_EQ(sample({0, 0}), Reals{9});
  EXPECT_EQ(sample({0, -0.25}), Reals{0.75 * 2 + 0.25 * 16});
  EXPECT_EQ(sample({0.5, 0}, "bilinear", "zeros", true), Reals{(2 + 4 + 16 + 32) / 4.0});
}

TEST(GridSample, ZerosLieOutside) {
  // The outer edge is halfway between the outermost elements and zeros.
  EXPECT_EQ(sample({-1, -1, 0, 1}), (Reals{0.25, 8}));
  EXPECT_EQ(sample({-9, 0, 0, 9, 1e30, 0}), (Reals{0, 0, 0}));
  EXPECT_EQ(sample({-1, -1, 1, 1}, "bilinear", "zeros", true), (Reals{1, 32}));
  EXPECT_EQ(sample({-1.5, 0.5}, "nearest"), Reals{0});
}

TEST(GridSample, OrTheBorder) {
  EXPECT_EQ(sample({-1, -1, 0, 1}, "bilinear", "border"), (Reals{1, 16}));
  EXPECT_EQ(sample({-9, 0, 0, 9, 1e30, 0}, "bilinear", "border"), (Reals{4.5, 16, 18}));
  EXPECT_EQ(sample({-1.5, 0.5}, "nearest", "border"), Reals{8});
}

TEST(GridSample, NearestTakesTheEvenOneOfTwo) {
  // Halfway between rows 0 and 1; between columns 0 and 1, and 1 and 2.
  EXPECT_EQ(sample({0, 0, -0.5, -1, 0.5, -1}, "nearest", "zeros", true), (Reals{2, 1, 4}));
}

TEST(GridSample, RefusesWhatDoesNotFit) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {2, 1, 2, 3}});
  const Value grid = graph.input("grid", {DType::f32, {2, 4, 5, 2}});
  const auto refusal = [](const std::function<void()>& f) { return error_of(f, ErrorCode::shape); };
  EXPECT_NE(refusal([&] { op::grid_sample(x, grid, "bicubic"); }).find("'bicubic'"), std::string::npos);
  EXPECT_NE(refusal([&] { op::grid_sample(x, grid, "nearest", "reflection"); }).find("'reflection'"),
            std::string::npos);
  EXPECT_NE(refusal([&] { op::grid_sample(x, op::slice(grid, 0, 0, 1)); }).find("[1, 4, 5, 2]"),
            std::string::npos);
  EXPECT_NE(refusal([&] { op::grid_sample(x, op::slice(grid, 3, 0, 1)); }).find("[2, 4, 5, 1]"),
            std::string::npos);
}

// GridSample where the target has it, in float32; gathers below.
TEST(GridSample, FormFollowsTheTarget) {
  const auto types = [](DType dtype, int opset) {
    Graph graph(dtype);
    const Value x = graph.input("x", {dtype, {1, 1, 2, 3}});
    graph.output("y", op::grid_sample(x, graph.input("grid", {DType::f32, {1, 4, 5, 2}})));
    std::vector<std::string> all;
    for (const auto& node : pipeline::lower_graph(std::move(graph), {.opset = opset}).nodes)
      all.push_back(node.op_type);
    return all;
  };
  using Types = std::vector<std::string>;
  EXPECT_EQ(types(DType::f32, 16), Types{"GridSample"});
  EXPECT_EQ(types(DType::f32, 20), Types{"GridSample"});
  EXPECT_EQ(types(DType::bf16, 18), (Types{"Cast", "GridSample", "Cast"}));
  const Types gathers = types(DType::f32, 15);
  EXPECT_EQ(std::count(gathers.begin(), gathers.end(), "Gather"), 4);  // one for each corner
}

}  // namespace
}  // namespace onnxport::test
