// Latent attention, against a plain loop over tokens and heads.
#include "onnxport/nn/latent_attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

constexpr std::int64_t kWidth = 3, kHeads = 2, kRank = 2, kQueryRank = 2, kPlain = 1, kTurned = 2, kValue = 3;
constexpr std::int64_t kKey = kPlain + kTurned;

struct Matrix {
  std::int64_t rows, columns;
  Row values;
  Row operator()(const Row& x) const {
    Row y(static_cast<std::size_t>(rows));
    for (std::size_t r = 0; r < y.size(); ++r) {
      for (std::size_t c = 0; c < x.size(); ++c) y[r] += values[r * x.size() + c] * x[c];
    }
    return y;
  }
};

// Multiples of 1/16, which float32 holds exactly.
Matrix matrix(std::int64_t rows, std::int64_t columns, int seed) {
  Matrix made{rows, columns, {}};
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    const auto step = static_cast<double>((i * 7 + seed * 5) % 31 - 15);
    made.values.push_back(step / 16);
  }
  return made;
}

Row normed(Row x) {
  double sum = 0;
  for (const double value : x) sum += value * value;
  for (double& value : x) value /= std::sqrt(sum / static_cast<double>(x.size()) + 1e-6);
  return x;
}

// Here, a rotation doubles the second element of each pair.
Row doubled(Row x) {
  for (std::size_t i = 1; i < x.size(); i += 2) x[i] *= 2;
  return x;
}

struct Plain {
  bool has_query_rank;
  Matrix query = matrix(kHeads * kKey, kWidth, 1), query_down = matrix(kQueryRank, kWidth, 2),
         query_up = matrix(kHeads * kKey, kQueryRank, 3), down = matrix(kRank + kTurned, kWidth, 4),
         up = matrix(kHeads * (kPlain + kValue), kRank, 5), output = matrix(kWidth, kHeads* kValue, 6);

  Rows operator()(const Rows& x) const {
    Rows queries, keys, values, results;
    for (const Row& token : x) {
      Row q = has_query_rank ? query_up(normed(query_down(token))) : query(token);
      Row latent = down(token);
      const Row shared = doubled({latent.begin() + kRank, latent.end()});
      latent.resize(kRank);
      const Row wide = up(normed(latent));
      Row key, value;
      for (std::int64_t h = 0; h < kHeads; ++h) {
        const auto part = wide.begin() + h * (kPlain + kValue);
        key.insert(key.end(), part, part + kPlain);
        key.insert(key.end(), shared.begin(), shared.end());
        value.insert(value.end(), part + kPlain, part + kPlain + kValue);
        q[static_cast<std::size_t>(h * kKey + kPlain + 1)] *= 2;
      }
      queries.push_back(q);
      keys.push_back(key);
      values.push_back(value);
      results.push_back(output(attend(queries.back(), keys, values)));
    }
    return results;
  }

  static Row attend(const Row& query, const Rows& keys, const Rows& values) {
    Row result;
    for (std::size_t h = 0; h < kHeads; ++h) {
      Row weights;
      double sum = 0;
      for (const Row& key : keys) {
        double score = 0;
        for (std::size_t i = h * kKey; i < (h + 1) * kKey; ++i) score += query[i] * key[i];
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(kKey))));
        sum += weights.back();
      }
      for (std::size_t i = h * kValue; i < (h + 1) * kValue; ++i) {
        double mean = 0;
        for (std::size_t t = 0; t < keys.size(); ++t) mean += weights[t] / sum * values[t][i];
        result.push_back(mean);
      }
    }
    return result;
  }
};

Value double_ends(Value x, std::int64_t heads) {
  const Value pairs = op::reshape(x, {x.dim(0), x.dim(1), heads, kTurned});
  const std::vector<Value> parts = op::split(pairs, 3, {1, 1});
  return op::reshape(op::concat({parts[0], op::mul(parts[1], 2.0)}, 3), x.shape());
}

// The weights of `plain` under the keys of the original, below self_attn.
std::shared_ptr<const Checkpoint> stored(const Plain& plain) {
  std::map<std::string, Matrix> tensors = {{"kv_a_proj_with_mqa.weight", plain.down},
                                           {"kv_b_proj.weight", plain.up},
                                           {"o_proj.weight", plain.output},
                                           {"kv_a_layernorm.weight", {kRank, 0, Row(kRank, 1.0)}}};
  if (plain.has_query_rank) {
    tensors["q_a_proj.weight"] = plain.query_down;
    tensors["q_a_layernorm.weight"] = {kQueryRank, 0, Row(kQueryRank, 1.0)};
    tensors["q_b_proj.weight"] = plain.query_up;
  } else {
    tensors["q_proj.weight"] = plain.query;
  }
  std::vector<StoredTensor> stored;
  for (const auto& [name, tensor] : tensors) {
    std::vector<std::int64_t> shape = {tensor.rows};
    if (tensor.columns > 0) shape.push_back(tensor.columns);
    const std::string key = "self_attn." + name;
    stored.push_back({{.key = key, .dtype = DType::f32, .shape = shape},
                      Weight::from_doubles(DType::f32, shape, tensor.values, key)});
  }
  return std::make_shared<const Checkpoint>(std::move(stored), "test");
}

nn::LatentAttentionParameters parameters(const Plain& plain) {
  nn::LatentAttentionParameters p{.hidden_size = kWidth,
                                  .heads = kHeads,
                                  .rank = kRank,
                                  .plain_dim = kPlain,
                                  .turned_dim = kTurned,
                                  .value_dim = kValue};
  if (plain.has_query_rank) p.query_rank = kQueryRank;
  p.rotate = [](Value x, std::int64_t heads, const nn::DecoderPass&) { return double_ends(x, heads); };
  return p;
}

Tensor ones(std::int64_t length) {
  return Tensor::from_ints(DType::i64, {1, length}, std::vector<std::int64_t>(length, 1));
}

Tensor floats(const std::vector<std::int64_t>& shape, const Rows& rows) {
  Row flat;
  for (const Row& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  return Tensor::from_doubles(DType::f32, shape, flat);
}

const Rows kTokens = {{0.5, -1, 0.25}, {1, 0.75, -0.5}, {-0.25, 0.125, 2}};

class LatentAttention : public testing::TestWithParam<bool> {
 protected:
  const Plain plain{GetParam()};
  const std::shared_ptr<KeyAccounting> accounting = std::make_shared<KeyAccounting>();
  const std::shared_ptr<const Checkpoint> checkpoint = stored(plain);
  const Scope scope{checkpoint, accounting, "self_attn"};

  // The rows of `got` are those from `first` on of what the plain loop makes of all tokens.
  void expect_rows(const Row& got, std::size_t first) const {
    const Rows expected = plain(kTokens);
    ASSERT_EQ(got.size(), (3 - first) * kWidth);
    for (std::size_t t = first; t < 3; ++t) {
      for (std::size_t i = 0; i < kWidth; ++i)
        EXPECT_NEAR(got[(t - first) * kWidth + i], expected[t][i], 1e-6) << t << ", " << i;
    }
  }
};

TEST_P(LatentAttention, MatchesAPlainLoop) {
  const nn::CausalAttention attention(nn::latent_attention(scope, 0, parameters(plain)));
  EXPECT_TRUE(accounting->unread(*checkpoint).empty());
  Graph graph;
  const Inputs inputs{{{"input_ids", graph.input("input_ids", {DType::i64, {1, 3}})},
                       {"attention_mask", graph.input("attention_mask", {DType::i64, {1, 3}})}}};
  const Value hidden = graph.input("x", {DType::f32, {1, 3, kWidth}});
  nn::DecoderPass pass{inputs, {}};
  graph.output("y", attention(hidden, pass));
  const auto got = reference::interpret(
      graph, {{{"input_ids", ones(3)}, {"attention_mask", ones(3)}, {"x", floats({1, 3, kWidth}, kTokens)}}});
  expect_rows(got[0][0].reals, 0);
}

// What the first `past` tokens leave in the cache, and the others on top of it.
TEST_P(LatentAttention, WithCachedLatentsMatchesAPlainLoop) {
  const nn::LatentAttention attention(nn::cached_latent_attention(scope, 5, parameters(plain)));
  EXPECT_TRUE(accounting->unread(*checkpoint).empty());
  Rows latents, turned;
  for (const Row& token : kTokens) {
    Row latent = plain.down(token);
    turned.push_back(doubled({latent.begin() + kRank, latent.end()}));
    latent.resize(kRank);
    latents.push_back(normed(latent));
  }
  for (std::int64_t past = 0; past < 3; ++past) {
    SCOPED_TRACE(past);
    const std::int64_t length = 3 - past;
    Graph graph;
    const Inputs inputs{{{"input_ids", graph.input("input_ids", {DType::i64, {1, length}})},
                         {"attention_mask", graph.input("attention_mask", {DType::i64, {1, 3}})},
                         {"past.key", graph.input("past.key", {DType::f32, {1, 1, past, kRank}})},
                         {"past.value", graph.input("past.value", {DType::f32, {1, 1, past, kTurned}})}}};
    const auto state = [](const std::string& part) {
      return StateSpec{
          .input = "past." + part, .output = "present." + part, .growing_axis = 2, .layer = 5, .part = part};
    };
    nn::DecoderPass pass{inputs, {state("key"), state("value")}};
    const Value hidden = graph.input("x", {DType::f32, {1, length, kWidth}});
    NamedValues outputs = {{"y", attention(hidden, pass)}};
    pass.add_presents(outputs);
    for (const auto& [name, value] : outputs) graph.output(name, value);
    const auto rows = [past](const Rows& all, bool later) {
      return Rows(all.begin() + (later ? past : 0), later ? all.end() : all.begin() + past);
    };
    const auto got =
        reference::interpret(graph, {{{"input_ids", ones(length)},
                                      {"attention_mask", ones(3)},
                                      {"past.key", floats({1, 1, past, kRank}, rows(latents, false))},
                                      {"past.value", floats({1, 1, past, kTurned}, rows(turned, false))},
                                      {"x", floats({1, length, kWidth}, rows(kTokens, true))}}});
    expect_rows(got[0][0].reals, static_cast<std::size_t>(past));
    for (std::size_t t = 0; t < 3; ++t) {
      for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_NEAR(got[0][1].reals[t * kRank + i], latents[t][i], 1e-6) << t;
        EXPECT_NEAR(got[0][2].reals[t * kTurned + i], turned[t][i], 1e-6) << t;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(QueryRank, LatentAttention, testing::Bool());

}  // namespace
}  // namespace onnxport::test
