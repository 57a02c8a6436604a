// Gated delta nets, against a plain loop over tokens and heads.
#include "onnxport/nn/delta_rule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

using Row = std::vector<double>;
using Dims = std::vector<std::int64_t>;

constexpr std::int64_t kWidth = 3, kHeads = 2, kKey = 2, kValue = 3, kKernel = 2, kTokens = 4;
constexpr nn::DeltaSizes kSizes{kWidth, kHeads, kHeads, kKey, kValue, kKernel};

// Multiples of 1/16, which float32 holds exactly.
Row numbers(std::int64_t count, int seed) {
  Row made;
  for (std::int64_t i = 0; i < count; ++i)
    made.push_back(static_cast<double>((i * 7 + seed * 5) % 31 - 15) / 16);
  return made;
}

double at(const Row& x, std::int64_t i) { return x[static_cast<std::size_t>(i)]; }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double softplus(double x) { return std::log1p(std::exp(x)); }

// x [width] times a matrix [rows, width]
Row times(const Row& matrix, const Row& x) {
  Row y(matrix.size() / x.size());
  for (std::size_t r = 0; r < y.size(); ++r)
    for (std::size_t c = 0; c < x.size(); ++c) y[r] += matrix[r * x.size() + c] * x[c];
  return y;
}

Row unit(Row x) {
  double sum = 1e-6;
  for (const double value : x) sum += value * value;
  for (double& value : x) value /= std::sqrt(sum);
  return x;
}

// With a decay for each element of a key, or one for each head.
struct Plain {
  bool of_elements;
  std::int64_t decays = of_elements ? kHeads * kKey : kHeads;
  Row mixed = numbers(kSizes.convolved() * kWidth, 1), gate = numbers(kSizes.values() * kWidth, 2),
      beta = numbers(kHeads * kWidth, 3), step = numbers(decays * kWidth, 4), shift = numbers(decays, 5),
      rates = {-0.5, -1.25}, kernel = numbers(kSizes.convolved() * kKernel, 6), norm = {0.5, 1, 2},
      out = numbers(kWidth * kSizes.values(), 7);

  Row operator()(const std::vector<Row>& tokens) const {
    Row results, before(static_cast<std::size_t>(kSizes.convolved()));
    std::vector<Row> states(kHeads, Row(kKey * kValue));
    for (const Row& x : tokens) {
      const Row now = times(mixed, x), opened = times(gate, x), b = times(beta, x), s = times(step, x);
      Row y;
      for (std::int64_t i = 0; i < kSizes.convolved(); ++i) {
        const double sum = at(kernel, 2 * i) * at(before, i) + at(kernel, 2 * i + 1) * at(now, i);
        y.push_back(sum * sigmoid(sum));
      }
      before = now;
      Row made;
      for (std::int64_t h = 0; h < kHeads; ++h) {
        const auto part = [&](std::int64_t begin, std::int64_t size) {
          return Row(y.begin() + begin + h * size, y.begin() + begin + (h + 1) * size);
        };
        const Row q = unit(part(0, kKey)), k = unit(part(kSizes.keys(), kKey)),
                  v = part(2 * kSizes.keys(), kValue);
        Row& state = states[static_cast<std::size_t>(h)];
        for (std::int64_t d = 0; d < kKey; ++d) {
          const std::int64_t place = of_elements ? h * kKey + d : h;
          const double remains = std::exp(at(rates, h) * softplus(at(s, place) + at(shift, place)));
          for (std::int64_t e = 0; e < kValue; ++e)
            state[static_cast<std::size_t>(d * kValue + e)] *= remains;
        }
        Row read(kValue);
        for (std::int64_t e = 0; e < kValue; ++e) {
          double known = 0;
          for (std::int64_t d = 0; d < kKey; ++d) known += at(k, d) * at(state, d * kValue + e);
          const double change = sigmoid(at(b, h)) * (at(v, e) - known);
          for (std::int64_t d = 0; d < kKey; ++d) {
            state[static_cast<std::size_t>(d * kValue + e)] += at(k, d) * change;
            read[static_cast<std::size_t>(e)] += at(q, d) / std::sqrt(kKey) * at(state, d * kValue + e);
          }
        }
        double squares = 0;
        for (const double value : read) squares += value * value / kValue;
        for (std::int64_t e = 0; e < kValue; ++e) {
          made.push_back(at(read, e) / std::sqrt(squares + 1e-6) * at(norm, e) *
                         sigmoid(at(opened, h * kValue + e)));
        }
      }
      const Row y_out = times(out, made);
      results.insert(results.end(), y_out.begin(), y_out.end());
    }
    return results;
  }
};

class GatedDeltaNet : public testing::TestWithParam<bool> {};

TEST_P(GatedDeltaNet, MatchesAPlainLoop) {
  const Plain plain{GetParam()};
  const auto weight = [](const Dims& shape, const Row& values) {
    return Weight::from_doubles(DType::f32, shape, values, "w");
  };
  const auto linear = [&](std::int64_t rows, const Row& values) {
    return nn::Linear("linear", weight({rows, static_cast<std::int64_t>(values.size()) / rows}, values), {});
  };
  const nn::Linear mixed = linear(kSizes.convolved(), plain.mixed),
                   gate = linear(kSizes.values(), plain.gate), beta = linear(kHeads, plain.beta),
                   step = linear(plain.decays, plain.step);
  const auto project = [&](Value x) -> nn::DeltaInputs {
    const Value all = mixed(x), opened = gate(x), rate = nn::delta_beta(beta(x));
    const Weight shift = weight({plain.decays}, plain.shift), rates = weight({kHeads}, plain.rates);
    return {.mixed = all, .gate = opened, .beta = rate, .decay = nn::delta_decay(step(x), shift, rates)};
  };
  const auto checkpoint = std::make_shared<const Checkpoint>(
      std::vector<StoredTensor>{
          {{.key = "norm.weight", .dtype = DType::f32, .shape = {kValue}}, weight({kValue}, plain.norm)}},
      "test");
  const Scope s(checkpoint, std::make_shared<KeyAccounting>());
  const nn::GatedDeltaNet net(
      {.path = "net",
       .layer = 0,
       .sizes = kSizes,
       .project = project,
       .conv1d = nn::CausalConv("conv1d", weight({kSizes.convolved(), 1, kKernel}, plain.kernel)),
       .norm = nn::GatedRmsNorm(s / "norm", kValue, {.gate_first = false, .activation = "sigmoid"}),
       .out_proj = linear(kWidth, plain.out)});

  Graph graph;
  const Inputs inputs{{{"input_ids", graph.input("input_ids", {DType::i64, {1, kTokens}})},
                       {"attention_mask", graph.input("attention_mask", {DType::i64, {1, kTokens}})}}};
  const Value hidden = graph.input("x", {DType::f32, {1, kTokens, kWidth}});
  nn::DecoderPass pass{inputs, {}};
  graph.output("y", net(hidden, pass));
  const Row flat = numbers(kTokens * kWidth, 8);
  std::vector<Row> tokens;
  for (std::int64_t t = 0; t < kTokens; ++t)
    tokens.emplace_back(flat.begin() + t * kWidth, flat.begin() + (t + 1) * kWidth);
  const auto ones = Tensor::from_ints(DType::i64, {1, kTokens}, Dims(kTokens, 1));
  const auto got =
      reference::interpret(graph, {{{"input_ids", ones},
                                    {"attention_mask", ones},
                                    {"x", Tensor::from_doubles(DType::f32, {1, kTokens, kWidth}, flat)}}});
  const Row expected = plain(tokens);
  ASSERT_EQ(got[0][0].reals.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(got[0][0].reals[i], expected[i], 1e-5) << i;
}

INSTANTIATE_TEST_SUITE_P(DecayOfElements, GatedDeltaNet, testing::Bool());

}  // namespace
}  // namespace onnxport::test
