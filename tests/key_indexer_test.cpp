// The choice of keys by an indexer, against a plain loop over queries, heads and keys.
#include "onnxport/nn/key_indexer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "errors.h"
#include "onnxport/error.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

Row chosen(const Row& scores, std::int64_t count) {
  Graph graph;
  const auto n = static_cast<std::int64_t>(scores.size());
  const Value x = graph.input("x", {DType::f32, {1, n}});
  graph.output("y", op::cast(nn::among_largest(x, count), DType::f32));
  return reference::interpret(graph, {{{"x", Tensor::from_doubles(DType::f32, {1, n}, scores)}}})[0][0].reals;
}

TEST(AmongLargest, MarksExactlyAsManyAsAsked) {
  EXPECT_EQ(chosen({3, 1, 2, 5}, 2), (Row{1, 0, 0, 1}));
  EXPECT_EQ(chosen({3, 1, 2, 5}, 4), (Row{1, 1, 1, 1}));
  EXPECT_EQ(chosen({-3, -1, -2}, 1), (Row{0, 1, 0}));
}

TEST(AmongLargest, TakesTheFirstOfEqualScores) {
  EXPECT_EQ(chosen({0, 7, 0, 0, 9}, 3), (Row{1, 1, 0, 0, 1}));
  EXPECT_EQ(chosen({0, 0, 0}, 2), (Row{1, 1, 0}));
}

TEST(AmongLargest, MarksAllOfFewerScores) { EXPECT_EQ(chosen({2, -4, 0}, 5), (Row{1, 1, 1})); }

TEST(AmongLargest, RefusesToMarkNone) {
  EXPECT_EQ(error_of([] { chosen({1, 2}, 0); }, ErrorCode::bad_config),
            "0 keys for a query, expected at least 1");
}

constexpr std::int64_t kWidth = 3, kRank = 2, kHeads = 2, kDim = 4, kTokens = 5, kCount = 2;

// Multiples of 1/16, which float32 holds exactly.
Rows numbers(std::int64_t rows, std::int64_t columns, int seed) {
  Rows made(static_cast<std::size_t>(rows));
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    const auto step = static_cast<double>((i * 11 + seed * 7) % 37 - 18);
    made[static_cast<std::size_t>(i / columns)].push_back(step / 16);
  }
  return made;
}

Row product(const Rows& matrix, const Row& x) {
  Row y;
  for (const Row& row : matrix) {
    y.push_back(0);
    for (std::size_t i = 0; i < x.size(); ++i) y.back() += row[i] * x[i];
  }
  return y;
}

struct Plain {
  Rows query = numbers(kHeads * kDim, kRank, 1), key = numbers(kDim, kWidth, 2),
       weights = numbers(kHeads, kWidth, 3), norm = numbers(2, kDim, 4);

  // Here, a rotation doubles the first element of each head.
  Row key_of(const Row& x) const {
    Row k = product(key, x);
    double mean = 0, variance = 0;
    for (const double v : k) mean += v / kDim;
    for (const double v : k) variance += (v - mean) * (v - mean) / kDim;
    for (std::size_t i = 0; i < k.size(); ++i)
      k[i] = (k[i] - mean) / std::sqrt(variance + 1e-6) * norm[0][i] + norm[1][i];
    k[0] *= 2;
    return k;
  }

  // Whether the query of the last of these tokens keeps each of their keys, of which some are padding.
  Row kept(const Rows& x, const Rows& latents, const std::vector<std::int64_t>& mask) const {
    const Row q = product(query, latents.back()), w = product(weights, x.back());
    std::vector<std::pair<double, std::size_t>> order;
    for (std::size_t t = 0; t < x.size(); ++t) {
      if (mask[t] == 0) continue;
      const Row k = key_of(x[t]);
      double score = 0;
      for (std::size_t h = 0; h < kHeads; ++h) {
        double dot = 0;
        for (std::size_t i = 0; i < kDim; ++i) dot += q[h * kDim + i] * (i == 0 ? 2 : 1) * k[i];
        score += w[h] * std::max(dot, 0.0);
      }
      order.emplace_back(-score, t);
    }
    std::sort(order.begin(), order.end());
    Row marks(x.size());
    for (std::size_t i = 0; i < std::min<std::size_t>(kCount, order.size()); ++i) marks[order[i].second] = 1;
    return marks;
  }
};

Tensor floats(const std::vector<std::int64_t>& shape, const Rows& rows) {
  Row flat;
  for (const Row& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  return Tensor::from_doubles(DType::f32, shape, flat);
}

std::shared_ptr<const Checkpoint> stored(const Plain& plain) {
  std::vector<StoredTensor> tensors;
  const auto add = [&](const std::string& key, const std::vector<std::int64_t>& shape, const Rows& rows) {
    Row flat;
    for (const Row& row : rows) flat.insert(flat.end(), row.begin(), row.end());
    tensors.push_back({{.key = key, .dtype = DType::f32, .shape = shape},
                       Weight::from_doubles(DType::f32, shape, flat, key)});
  };
  add("indexer.wq_b.weight", {kHeads * kDim, kRank}, plain.query);
  add("indexer.wk.weight", {kDim, kWidth}, plain.key);
  add("indexer.weights_proj.weight", {kHeads, kWidth}, plain.weights);
  add("indexer.k_norm.weight", {kDim}, {plain.norm[0]});
  add("indexer.k_norm.bias", {kDim}, {plain.norm[1]});
  return std::make_shared<const Checkpoint>(std::move(tensors), "test");
}

Value double_firsts(Value x, std::int64_t heads, const nn::DecoderPass& /*pass*/) {
  const Value apart = op::reshape(x, {x.dim(0), x.dim(1), heads, kDim});
  const std::vector<Value> parts = op::split(apart, 3, {1, kDim - 1});
  return op::reshape(op::concat({op::mul(parts[0], 2.0), parts[1]}, 3), x.shape());
}

TEST(KeyIndexer, MatchesAPlainLoopWithAndWithoutAPast) {
  const Plain plain;
  const auto accounting = std::make_shared<KeyAccounting>();
  const auto checkpoint = stored(plain);
  const nn::KeyIndexer indexer(Scope(checkpoint, accounting, "indexer"), 3,
                               {.hidden_size = kWidth,
                                .query_rank = kRank,
                                .heads = kHeads,
                                .head_dim = kDim,
                                .count = kCount,
                                .rotate = double_firsts});
  EXPECT_TRUE(accounting->unread(*checkpoint).empty());
  const Rows x = numbers(kTokens, kWidth, 5), latents = numbers(kTokens, kRank, 6);
  const std::vector<std::int64_t> mask = {0, 1, 1, 1, 1};
  Rows keys;
  for (const Row& token : x) keys.push_back(plain.key_of(token));
  for (std::int64_t past = 0; past < kTokens; ++past) {
    SCOPED_TRACE(past);
    const std::int64_t length = kTokens - past;
    Graph graph;
    const Inputs inputs{{{"input_ids", graph.input("input_ids", {DType::i64, {1, length}})},
                         {"attention_mask", graph.input("attention_mask", {DType::i64, {1, kTokens}})},
                         {"past", graph.input("past", {DType::f32, {1, past, kDim}})}}};
    const StateSpec state{
        .input = "past", .output = "present", .growing_axis = 1, .layer = 3, .part = "indexer"};
    nn::DecoderPass pass{inputs, {state}};
    const Value hidden = graph.input("x", {DType::f32, {1, length, kWidth}});
    const Value latent = graph.input("latent", {DType::f32, {1, length, kRank}});
    // What is chosen among hidden keys does not matter: the attention hides them again.
    const Value seen = op::unsqueeze(nn::seen_keys(pass), 1);
    const Value kept = op::logical_and(indexer(hidden, latent, pass), seen);
    NamedValues outputs = {{"y", op::cast(kept, DType::f32)}};
    pass.add_presents(outputs);
    for (const auto& [name, value] : outputs) graph.output(name, value);
    const auto rest = [past](const Rows& all) { return Rows(all.begin() + past, all.end()); };
    const auto got = reference::interpret(
        graph,
        {{{"input_ids", Tensor::from_ints(DType::i64, {1, length}, std::vector<std::int64_t>(length, 1))},
          {"attention_mask", Tensor::from_ints(DType::i64, {1, kTokens}, mask)},
          {"past", floats({1, past, kDim}, Rows(keys.begin(), keys.begin() + past))},
          {"x", floats({1, length, kWidth}, rest(x))},
          {"latent", floats({1, length, kRank}, rest(latents))}}});
    for (std::int64_t t = past; t < kTokens; ++t) {
      Row expected = plain.kept(Rows(x.begin(), x.begin() + t + 1),
                                Rows(latents.begin(), latents.begin() + t + 1), mask);
      expected.resize(kTokens);
      const auto row = got[0][0].reals.begin() + (t - past) * kTokens;
      EXPECT_EQ(Row(row, row + kTokens), expected) << t;
    }
    for (std::size_t i = 0; i < kTokens * kDim; ++i)
      EXPECT_NEAR(got[0][1].reals[i], keys[i / kDim][i % kDim], 1e-6) << i;
  }
}

}  // namespace
}  // namespace onnxport::test
