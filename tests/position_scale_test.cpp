// Queries that grow with their position, against a plain loop.
#include "onnxport/nn/position_scale.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/interface.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport {
namespace {

constexpr nn::PositionScale kScale{.beta = 0.25, .length = 4};
constexpr std::int64_t kBatch = 2, kLength = 3, kWidth = 2;
const std::vector<std::int64_t> kPositions = {0, 3, 4, 1, 9, 1000};
const std::vector<double> kValues = {0.5, -1, 2, 0.25, 3, -0.75, 1.5, 1, -2, 4, 0.125, 1};

// x [2, 3, 2] and positions [2, 3] as values of a graph.
struct Made {
  Graph graph;
  Inputs inputs{{{"input_ids", graph.input("input_ids", {DType::i64, {kBatch, kLength}})},
                 {"attention_mask", graph.input("attention_mask", {DType::i64, {kBatch, kLength}})},
                 {"position_ids", graph.input("position_ids", {DType::i64, {kBatch, kLength}})}}};
  Value x = graph.input("x", {DType::f32, {kBatch, kLength, kWidth}});
  nn::DecoderPass pass{inputs, {}};

  std::vector<double> run(Value result) {
    graph.output("y", result);
    const auto integers = [](const std::vector<std::int64_t>& values) {
      return Tensor::from_ints(DType::i64, {kBatch, kLength}, values);
    };
    const std::vector<std::int64_t> ones(kPositions.size(), 1);
    const auto outputs = reference::interpret(
        graph, {{{"input_ids", integers(ones)},
                 {"attention_mask", integers(ones)},
                 {"position_ids", integers(kPositions)},
                 {"x", Tensor::from_doubles(DType::f32, {kBatch, kLength, kWidth}, kValues)}}});
    return outputs[0][0].reals;
  }
};

std::vector<double> expected() {
  std::vector<double> scaled = kValues;
  for (std::size_t i = 0; i < scaled.size(); ++i) {
    const std::int64_t whole = kPositions[i / kWidth] / kScale.length;
    scaled[i] *= 1 + kScale.beta * std::log(1 + static_cast<double>(whole));
  }
  return scaled;
}

void expect_close(const std::vector<double>& got, const std::vector<double>& wanted) {
  ASSERT_EQ(got.size(), wanted.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 1e-6) << i;
}

TEST(PositionScale, GrowsWithTheLogarithmOfWholeLengths) {
  Made made;
  expect_close(made.run(nn::scaled_by_position(made.x, made.inputs["position_ids"], kScale)), expected());
}

TEST(PositionScale, OnePositionForAllRows) {
  Made made;
  const Value places = op::arange(made.graph, kLength, 7);
  const std::vector<double> got = made.run(nn::scaled_by_position(made.x, places, kScale));
  std::vector<double> wanted = kValues;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const std::size_t whole_lengths = (7 + i / kWidth % kLength) / 4;
    wanted[i] *= 1 + kScale.beta * std::log(1 + static_cast<double>(whole_lengths));
  }
  expect_close(got, wanted);
}

TEST(PositionScale, OnlyQueriesAreScaled) {
  const nn::Projection plain = [](Value x, const nn::DecoderPass&) { return nn::QueryKeyValue{x, x, x}; };
  for (const bool query : {true, false}) {
    Made made;
    const nn::QueryKeyValue all = nn::queries_scaled_by_position(plain, kScale)(made.x, made.pass);
    EXPECT_EQ(all.key, made.x);
    EXPECT_EQ(all.value, made.x);
    expect_close(made.run(query ? all.query : all.key), query ? expected() : kValues);
  }
}

TEST(PositionScale, RefusesALengthBelowOne) {
  Made made;
  EXPECT_THROW(nn::scaled_by_position(made.x, made.inputs["position_ids"], {.beta = 1, .length = 0}),
               ExportError);
}

}  // namespace
}  // namespace onnxport
