// What an attention does around its scores, against plain loops over tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/gated_attention.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport {
namespace {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

// Three tokens with two heads of two elements.
const Rows kRows = {{0.5, -1.0, 2.0, 0.25}, {-0.75, 1.5, 0.125, -2.0}, {3.0, 0.0, -0.5, 1.0}};
constexpr std::int64_t kWidth = 4, kHeads = 2, kHeadDim = 2;
constexpr double kTheta = 10000;  // with two elements the only frequency is 1, whatever the base

struct Decoder {
  Graph graph;
  Inputs inputs{{{"input_ids", graph.input("input_ids", {DType::i64, {1, 3}})},
                 {"attention_mask", graph.input("attention_mask", {DType::i64, {1, 3}})}}};
  Value x = graph.input("x", {DType::f32, {1, 3, kWidth}});
  nn::DecoderPass pass{inputs, {}};

  Rows run(Value result) {
    graph.output("y", result);
    Row flat;
    for (const Row& row : kRows) flat.insert(flat.end(), row.begin(), row.end());
    const auto ones = Tensor::from_ints(DType::i64, {1, 3}, std::vector<std::int64_t>(3, 1));
    const auto outputs =
        reference::interpret(graph, {{{"input_ids", ones},
                                      {"attention_mask", ones},
                                      {"x", Tensor::from_doubles(DType::f32, {1, 3, kWidth}, flat)}}});
    const Row& reals = outputs[0][0].reals;
    Rows rows(kRows.size());
    for (std::size_t i = 0; i < reals.size(); ++i) rows[i / kWidth].push_back(reals[i]);
    return rows;
  }
};

void expect_close(const Rows& got, const Rows& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t r = 0; r < got.size(); ++r) {
    ASSERT_EQ(got[r].size(), expected[r].size());
    for (std::size_t i = 0; i < got[r].size(); ++i)
      EXPECT_NEAR(got[r][i], expected[r][i], 1e-6) << r << ", " << i;
  }
}

/// Copies its input `copies` times.
nn::Linear repeats(std::int64_t copies) {
  Row weight;
  for (std::int64_t i = 0; i < copies * kWidth; ++i) {
    for (std::int64_t j = 0; j < kWidth; ++j) weight.push_back(i % kWidth == j ? 1 : 0);
  }
  return {"copies", Weight::from_doubles(DType::f32, {copies * kWidth, kWidth}, weight), {}};
}

nn::QkvProjection same_three_times() {
  return nn::QkvProjection::fused(repeats(3), {kWidth, kHeads, kHeads, kHeadDim}, nn::FusedLayout::stacked);
}

Rows turned(Rows rows) {
  for (std::size_t at = 0; at < rows.size(); ++at) {
    const double angle = static_cast<double>(at), c = std::cos(angle), s = std::sin(angle);
    for (std::size_t i = 0; i < kWidth; i += 2) {
      const double first = rows[at][i], second = rows[at][i + 1];
      rows[at][i] = first * c - second * s;
      rows[at][i + 1] = second * c + first * s;
    }
  }
  return rows;
}

TEST(AttentionParts, ClippedProjections) {
  Decoder decoder;
  const nn::QueryKeyValue all = same_three_times().clipped(1)(decoder.x);
  const Value sum = op::add(op::add(all.query, all.key), all.value);
  Rows expected = kRows;
  for (Row& row : expected) {
    for (double& value : row) value = 3 * std::clamp(value, -1.0, 1.0);
  }
  expect_close(decoder.run(sum), expected);
}

TEST(AttentionParts, NormsOfHeadsWithWeightsOfTheirOwn) {
  const Row weights = {1, 2, -3, 4};
  const double eps = 0.125;
  Decoder decoder;
  const auto norm =
      nn::layer_norm_of_heads("norm", Weight::from_doubles(DType::f32, {kHeads, kHeadDim}, weights), eps);
  Rows expected = kRows;
  for (Row& row : expected) {
    for (std::size_t i = 0; i < kWidth; i += 2) {
      const double mean = (row[i] + row[i + 1]) / 2, apart = (row[i] - row[i + 1]) / 2;
      const double scale = 1 / std::sqrt(apart * apart + eps);
      row[i] = (row[i] - mean) * scale * weights[i];
      row[i + 1] = (row[i + 1] - mean) * scale * weights[i + 1];
    }
  }
  expect_close(decoder.run(norm(decoder.x)), expected);
}

TEST(AttentionParts, TurnedHeads) {
  Decoder decoder;
  const nn::RotaryEmbedding rotary("rotary_emb", {.dim = kHeadDim, .theta = kTheta});
  expect_close(decoder.run(nn::turned(decoder.x, rotary(decoder.pass.position_ids()), kHeads)),
               turned(kRows));
}

TEST(AttentionParts, NormsAfterTheRotation) {
  // Squares, because a rotation and they do not commute.
  const auto squares = [](Value x) { return op::mul(x, x); };
  const nn::CausalAttention attention({.path = "attention",
                                       .layer = 0,
                                       .sizes = {kWidth, kHeads, kHeads, kHeadDim},
                                       .qkv = same_three_times(),
                                       .output = [](Value x) { return op::mul(x, 2.0); },
                                       .rotary = nn::RotaryEmbedding("rotary_emb", {.dim = kHeadDim}),
                                       .query_norm = squares,
                                       .key_norm = squares,
                                       .norm_place = nn::NormPlace::after_rotation});
  Rows keys = turned(kRows), expected;
  for (Row& row : keys) {
    for (double& value : row) value *= value;
  }
  for (std::size_t query = 0; query < kRows.size(); ++query) {
    Row row(kWidth, 0.0);
    for (std::size_t i = 0; i < kWidth; i += 2) {
      double total = 0;
      for (std::size_t key = 0; key <= query; ++key) {
        const double score = keys[query][i] * keys[key][i] + keys[query][i + 1] * keys[key][i + 1];
        const double weight = std::exp(score / std::sqrt(2.0));
        total += weight;
        row[i] += 2 * weight * kRows[key][i];
        row[i + 1] += 2 * weight * kRows[key][i + 1];
      }
      row[i] /= total;
      row[i + 1] /= total;
    }
    expected.push_back(row);
  }
  Decoder decoder;
  expect_close(decoder.run(attention(decoder.x, decoder.pass)), expected);
}

// All keys count alike, so that an attention gives the mean of the values so far.
nn::CausalAttentionParts means() {
  return {.path = "attention",
          .sizes = {kWidth, kHeads, kHeads, kHeadDim},
          .qkv = same_three_times(),
          .output = [](Value x) { return op::add(x, 1.0); },
          .options = {.scale = 0.0}};
}

/// (mean of the rows so far) * gate(row, element) + 1
Rows gated_means(const std::function<double(const Row&, std::size_t)>& gate) {
  Rows expected;
  for (std::size_t query = 0; query < kRows.size(); ++query) {
    Row row(kWidth, 0.0);
    for (std::size_t i = 0; i < kWidth; ++i) {
      for (std::size_t key = 0; key <= query; ++key) row[i] += kRows[key][i];
      row[i] = row[i] / static_cast<double>(query + 1) * gate(kRows[query], i) + 1;
    }
    expected.push_back(row);
  }
  return expected;
}

TEST(AttentionParts, GateForEachElement) {
  Decoder decoder;
  const nn::Mixer attention = nn::gated_attention(means(), [](Value x) { return op::mul(x, x); });
  expect_close(decoder.run(attention(decoder.x, decoder.pass)),
               gated_means([](const Row& row, std::size_t i) { return row[i] * row[i]; }));
}

TEST(AttentionParts, GateForEachHead) {
  Decoder decoder;
  const nn::Mixer attention =
      nn::gated_attention(means(), [](Value x) { return op::split(x, 2, {kHeads, kWidth - kHeads})[1]; });
  expect_close(decoder.run(attention(decoder.x, decoder.pass)),
               gated_means([](const Row& row, std::size_t i) { return row[kHeads + i / kHeadDim]; }));
}

}  // namespace
}  // namespace onnxport
