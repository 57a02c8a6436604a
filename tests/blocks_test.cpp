// The blocks of decoders, against plain loops over rows.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport {
namespace {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

constexpr std::size_t kWidth = 4;
const Rows kRows = {{0.5, -1.0, 2.0, 0.25}, {-0.75, 1.5, 0.125, -2.0}, {3.0, 0.0, -0.5, 1.0}};

// ---- parts, as functions of a value and as loops over a row ----

Value centered(Value x) { return op::sub(x, op::mean(x, -1, true)); }
Row centered(Row row) {
  double sum = 0;
  for (const double value : row) sum += value;
  for (double& value : row) value -= sum / static_cast<double>(row.size());
  return row;
}

Value doubled(Value x) { return op::mul(x, 2.0); }
Row doubled(Row row) {
  for (double& value : row) value *= 2;
  return row;
}

Value bent(Value x) { return op::tanh(x); }
Row bent(Row row) {
  for (double& value : row) value = std::tanh(value);
  return row;
}

// Each row becomes half the sum of all rows up to its own: it mixes tokens, as attention does.
Value mixed(Value x, nn::DecoderPass&) { return op::mul(op::cumsum(x, 1), 0.5); }
Rows mixed(const Rows& rows) {
  Rows result;
  Row sum(kWidth, 0.0);
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kWidth; ++i) sum[i] += row[i];
    Row half = sum;
    for (double& value : half) value /= 2;
    result.push_back(half);
  }
  return result;
}

Row plus(Row a, const Row& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}
Rows plus(Rows a, const Rows& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = plus(a[i], b[i]);
  return a;
}
Rows each(const std::function<Row(Row)>& f, Rows rows) {
  for (Row& row : rows) row = f(row);
  return rows;
}
const std::function<Row(Row)> kCentered = [](Row row) { return centered(std::move(row)); };
const std::function<Row(Row)> kDoubled = [](Row row) { return doubled(std::move(row)); };
const std::function<Row(Row)> kBent = [](Row row) { return bent(std::move(row)); };

nn::Norm centers() {
  return [](Value x) { return centered(x); };
}
nn::Norm doubles() {
  return [](Value x) { return doubled(x); };
}
nn::FeedForward bends() {
  return [](Value x) { return bent(x); };
}
nn::Mixer mixes() {
  return [](Value x, nn::DecoderPass& pass) { return mixed(x, pass); };
}

// ---- running a block ----

struct Decoder {
  Graph graph;
  Inputs inputs{{{"input_ids", graph.input("input_ids", {DType::i64, {1, 3}})},
                 {"attention_mask", graph.input("attention_mask", {DType::i64, {1, 3}})}}};
  Value x = graph.input("x", {DType::f64, {1, 3, static_cast<std::int64_t>(kWidth)}});
  nn::DecoderPass pass{inputs, {}};

  Rows run(Value result) {
    graph.output("y", result);
    Row flat;
    for (const Row& row : kRows) flat.insert(flat.end(), row.begin(), row.end());
    const auto ones = Tensor::from_ints(DType::i64, {1, 3}, std::vector<std::int64_t>(3, 1));
    const auto outputs = reference::interpret(
        graph, {{{"input_ids", ones},
                 {"attention_mask", ones},
                 {"x", Tensor::from_doubles(DType::f64, {1, 3, static_cast<std::int64_t>(kWidth)}, flat)}}});
    const Row& reals = outputs[0][0].reals;
    Rows rows;
    for (std::size_t at = 0; at < reals.size(); at += kWidth)
      rows.emplace_back(reals.begin() + static_cast<std::ptrdiff_t>(at),
                        reals.begin() + static_cast<std::ptrdiff_t>(at + kWidth));
    return rows;
  }
};

void expect_close(const Rows& got, const Rows& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t r = 0; r < got.size(); ++r) {
    for (std::size_t i = 0; i < kWidth; ++i) EXPECT_NEAR(got[r][i], expected[r][i], 1e-12) << r << ", " << i;
  }
}

void expect_block(const nn::Block& block, const Rows& expected) {
  Decoder decoder;
  expect_close(decoder.run(block(decoder.x, decoder.pass)), expected);
}

TEST(Blocks, PreNorm) {
  const Rows attended = plus(kRows, mixed(each(kCentered, kRows)));
  expect_block(nn::PreNormBlock{centers(), mixes(), doubles(), bends()},
               plus(attended, each(kBent, each(kDoubled, attended))));
}

TEST(Blocks, PostNorm) {
  const Rows attended = each(kCentered, plus(kRows, mixed(kRows)));
  expect_block(nn::PostNormBlock{mixes(), centers(), bends(), doubles()},
               each(kDoubled, plus(attended, each(kBent, attended))));
}

TEST(Blocks, Sandwich) {
  const Rows attended = plus(kRows, each(kDoubled, mixed(each(kCentered, kRows))));
  expect_block(nn::SandwichBlock{centers(), mixes(), doubles(), doubles(), bends(), centers()},
               plus(attended, each(kCentered, each(kBent, each(kDoubled, attended)))));
}

TEST(Blocks, SandwichWithoutNormsInFront) {
  const Rows attended = plus(kRows, each(kCentered, mixed(kRows)));
  expect_block(nn::SandwichBlock{{}, mixes(), centers(), {}, bends(), doubles()},
               plus(attended, each(kDoubled, each(kBent, attended))));
}

TEST(Blocks, ParallelWithTwoNorms) {
  const Rows attended = mixed(each(kCentered, kRows));
  expect_block(nn::ParallelBlock{centers(), mixes(), doubles(), bends()},
               plus(plus(kRows, attended), each(kBent, each(kDoubled, kRows))));
}

TEST(Blocks, ParallelWithOneNorm) {
  const Rows normed = each(kCentered, kRows);
  expect_block(nn::ParallelBlock{centers(), mixes(), {}, bends()},
               plus(plus(kRows, mixed(normed)), each(kBent, normed)));
}

TEST(Blocks, ScaledBranches) {
  const auto times = [](double factor) {
    return [factor](Row row) {
      for (double& value : row) value *= factor;
      return row;
    };
  };
  const Rows attended = plus(kRows, each(times(0.25), mixed(each(kCentered, kRows))));
  expect_block(nn::PreNormBlock{centers(), nn::scaled(mixes(), 0.25), doubles(), nn::scaled(bends(), -3)},
               plus(attended, each(times(-3), each(kBent, each(kDoubled, attended)))));
}

// Two heads of two elements: each is centered by itself.
TEST(Blocks, PerHead) {
  Decoder decoder;
  const auto norm = nn::per_head([](Value x) { return centered(x); }, 2);
  const auto by_head = [](const Row& row) {
    const Row first = centered(Row{row[0], row[1]}), second = centered(Row{row[2], row[3]});
    return Row{first[0], first[1], second[0], second[1]};
  };
  expect_close(decoder.run(norm(decoder.x)), each(by_head, kRows));
}

}  // namespace
}  // namespace onnxport
