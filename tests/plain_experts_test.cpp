// Experts without a gate, against a plain loop.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "onnxport/nn/experts.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport {
namespace {

using Reals = std::vector<double>;
using Dims = std::vector<std::int64_t>;

constexpr std::int64_t kExperts = 3, kInner = 4, kWidth = 2, kRows = 3;

// Values of which no two are alike, around 0.
Reals values(std::int64_t count, double seed) {
  Reals result;
  for (std::int64_t i = 0; i < count; ++i) result.push_back(std::sin(seed + 1.7 * static_cast<double>(i)));
  return result;
}

Weight weight(const std::string& key, const Dims& shape, double seed) {
  std::int64_t count = 1;
  for (const std::int64_t n : shape) count *= n;
  return Weight::from_doubles(DType::f32, shape, values(count, seed), key);
}

// The values that a checkpoint has for an expert, as float32.
struct Expert {
  Reals up, up_bias, down, down_bias;
};

struct Model {
  std::vector<StoredTensor> stored;
  std::vector<Expert> experts;

  explicit Model(bool biased) {
    for (std::int64_t e = 0; e < kExperts; ++e) {
      const double seed = 10.0 * static_cast<double>(e);
      const auto add = [&](const char* leaf, const Dims& shape, double more) {
        const std::string key = fmt::format("experts.expert_{}.{}", e, leaf);
        const Weight made = weight(key, shape, seed + more);
        stored.push_back({{.key = key, .dtype = DType::f32, .shape = shape}, made});
        return made.to_doubles();
      };
      Expert expert{.up_bias = Reals(kInner), .down_bias = Reals(kWidth)};
      expert.up = add("wi.weight", {kInner, kWidth}, 1);
      expert.down = add("wo.weight", {kWidth, kInner}, 2);
      if (biased) expert.up_bias = add("wi.bias", {kInner}, 3);
      if (biased) expert.down_bias = add("wo.bias", {kWidth}, 4);
      experts.push_back(expert);
    }
  }
};

Reals loop(const Model& model, const Reals& tokens, const Reals& routing) {
  const auto at = [](const Reals& x, std::int64_t i) { return x[static_cast<std::size_t>(i)]; };
  Reals out(static_cast<std::size_t>(kRows * kWidth));
  for (std::int64_t r = 0; r < kRows; ++r) {
    for (std::int64_t e = 0; e < kExperts; ++e) {
      const Expert& expert = model.experts[static_cast<std::size_t>(e)];
      const double share = at(routing, r * kExperts + e);
      for (std::int64_t d = 0; d < kWidth; ++d) {
        double made = at(expert.down_bias, d);
        for (std::int64_t i = 0; i < kInner; ++i) {
          double inner = at(expert.up_bias, i);
          for (std::int64_t j = 0; j < kWidth; ++j)
            inner += at(expert.up, i * kWidth + j) * at(tokens, r * kWidth + j);
          made += at(expert.down, d * kInner + i) * std::max(inner, 0.0);
        }
        out[static_cast<std::size_t>(r * kWidth + d)] += share * made;
      }
    }
  }
  return out;
}

void expect_the_loop(bool biased) {
  const Model model(biased);
  const Reals tokens = values(kRows * kWidth, 5), routing = {0, 0.5, 0, 1, 0, -0.25, 0, 0, 0};
  auto checkpoint = std::make_shared<const Checkpoint>(model.stored, "test");
  auto accounting = std::make_shared<KeyAccounting>();
  const nn::ExpertWeights weights =
      nn::plain_expert_weights(Scope(checkpoint, accounting, "experts"),
                               {.hidden_size = kWidth, .intermediate_size = kInner, .experts = kExperts},
                               {.up = "wi", .down = "wo", .prefix = "expert_"});
  EXPECT_TRUE(accounting->unread(*checkpoint).empty());
  EXPECT_FALSE(weights.up);
  Graph graph(DType::f64);
  const Value x = graph.input("x", {DType::f64, {kRows, kWidth}});
  const Value shares = graph.input("routing", {DType::f64, {kRows, kExperts}});
  graph.output("y", nn::Experts(weights, "relu")(x, shares));
  const Reals got =
      reference::interpret(
          graph, {{{"x", Tensor::from_doubles(DType::f64, {kRows, kWidth}, tokens)},
                   {"routing", Tensor::from_doubles(DType::f64, {kRows, kExperts}, routing)}}})[0][0]
          .reals;
  const Reals expected = loop(model, tokens, routing);
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-12) << "element " << i;
}

TEST(PlainExperts, MatchAPlainLoop) { expect_the_loop(false); }
TEST(PlainExperts, HaveTheirBiases) { expect_the_loop(true); }

}  // namespace
}  // namespace onnxport
