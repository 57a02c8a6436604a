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

class LatentAttention : public testing::TestWithParam<bool> {};

TEST_P(LatentAttention, MatchesAPlainLoop) {
  const Plain plain{GetParam()};
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
  const auto checkpoint = std::make_shared<const Checkpoint>(std::move(stored), "test");
  const auto accounting = std::make_shared<KeyAccounting>();
  nn::LatentAttentionParameters p{.hidden_size = kWidth,
                                  .heads = kHeads,
                                  .rank = kRank,
                                  .plain_dim = kPlain,
                                  .turned_dim = kTurned,
                                  .value_dim = kValue};
  if (plain.has_query_rank) p.query_rank = kQueryRank;
  p.rotate = [](Value x, std::int64_t heads, const nn::DecoderPass&) { return double_ends(x, heads); };
  const nn::CausalAttention attention(nn::latent_attention(Scope(checkpoint, accounting, "self_attn"), 0, p));
  EXPECT_TRUE(accounting->unread(*checkpoint).empty());

  Graph graph;
  const Rows x = {{0.5, -1, 0.25}, {1, 0.75, -0.5}, {-0.25, 0.125, 2}};
  const Inputs inputs{{{"input_ids", graph.input("input_ids", {DType::i64, {1, 3}})},
                       {"attention_mask", graph.input("attention_mask", {DType::i64, {1, 3}})}}};
  const Value hidden = graph.input("x", {DType::f32, {1, 3, kWidth}});
  nn::DecoderPass pass{inputs, std::vector<StateSpec>()};
  graph.output("y", attention(hidden, pass));
  Row flat;
  for (const Row& row : x) flat.insert(flat.end(), row.begin(), row.end());
  const auto ones = Tensor::from_ints(DType::i64, {1, 3}, std::vector<std::int64_t>(3, 1));
  const auto got =
      reference::interpret(graph, {{{"input_ids", ones},
                                    {"attention_mask", ones},
                                    {"x", Tensor::from_doubles(DType::f32, {1, 3, kWidth}, flat)}}});
  const Rows expected = plain(x);
  for (std::size_t t = 0; t < 3; ++t) {
    for (std::size_t i = 0; i < kWidth; ++i)
      EXPECT_NEAR(got[0][0].reals[t * kWidth + i], expected[t][i], 1e-6) << t << ", " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(QueryRank, LatentAttention, testing::Bool());

}  // namespace
}  // namespace onnxport::test
