#include "onnxport/nn/key_indexer.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::nn {

constexpr double kLowest = std::numeric_limits<float>::lowest();

Value among_largest(Value scores, std::int64_t count) {
  if (count < 1)
    throw ExportError(ErrorCode::bad_config, fmt::format("{} keys for a query, expected at least 1", count));
  const Dim& all = scores.dim(-1);
  // Of fewer scores than `count`, the smallest one is a padded one.
  Shape before(scores.shape().size(), 0), after = before;
  after.back() = Dim(count) - all.min(count);
  const Value enough = op::pad(scores, before, after, kLowest);
  const Value last = op::slice(op::topk(enough, count, -1).values, -1, count - 1, count);
  const Value above = op::gt(scores, last);
  const Value tied = op::eq(scores, last);
  // Scores that equal the last one fill what those above leave.
  const Value taken = op::sum(op::cast(above, DType::f32), -1, true);
  const Value number = op::add(op::cumsum(op::cast(tied, DType::f32), -1), taken);
  const Value limit = op::scalar(scores.graph(), static_cast<double>(count), DType::f32);
  return op::logical_or(above, op::logical_and(tied, op::le(number, limit)));
}

Value seen_keys(const DecoderPass& pass) {
  Graph& graph = pass.graph();
  const ModulePath at(graph, "attention_mask");
  const Value key = op::arange(graph, pass.total_length());
  const Value query = op::unsqueeze(op::arange(graph, pass.length(), pass.past_length()), 1);
  Value order = op::le(key, query);
  const Value mask = pass.attention_mask();
  if (!mask) return order;
  return op::logical_and(order, op::unsqueeze(op::cast(mask, DType::boolean), 1));
}

KeyIndexer::KeyIndexer(const Scope& s, std::int64_t layer, const KeyIndexerParameters& p)
    : path_(s.path()),
      layer_(layer),
      parameters_(p),
      query_(s / "wq_b", p.query_rank, p.heads * p.head_dim, false),
      key_(s / "wk", p.hidden_size, p.head_dim, false),
      weights_(s / "weights_proj", p.hidden_size, p.heads, false),
      norm_(s / "k_norm", p.head_dim, p.norm_eps) {}

Value KeyIndexer::operator()(Value x, Value query_latent, DecoderPass& pass) const {
  const KeyIndexerParameters& p = parameters_;
  const ModulePath at(x, path_);
  const Dim &batch = x.dim(0), &length = x.dim(1);
  const Value query = p.rotate(query_(query_latent), p.heads, pass);
  Value key = p.rotate(norm_(key_(x)), 1, pass);
  if (const Value past = pass.past(layer_, "indexer")) key = op::concat({past, key}, 1);
  pass.keep(layer_, "indexer", key);
  const Value rows = op::cast(op::reshape(query, {batch, length * p.heads, p.head_dim}), DType::f32);
  const Value columns = op::transpose(op::cast(key, DType::f32), 1, 2);
  const Value products = op::relu(op::matmul(rows, columns));  // [B, S * H, P + S]
  Value weights;
  {
    const ModulePath inside(x, weights_.path());
    const Value wide = op::cast(x, DType::f32);
    weights = op::linear(wide, op::cast(x.graph().weight(weights_.weight()), DType::f32));
  }
  const double scale = 1 / std::sqrt(static_cast<double>(p.heads * p.head_dim));
  weights = op::reshape(op::mul(weights, scale), {batch, length, 1, p.heads});
  const Value apart = op::reshape(products, {batch, length, p.heads, key.dim(1)});
  const Value scores = op::squeeze(op::matmul(weights, apart), 2);
  const Value hidden = op::scalar(x.graph(), kLowest, DType::f32);
  const Value seen = op::where(seen_keys(pass), scores, hidden);
  return op::unsqueeze(among_largest(seen, p.count), 1);
}

}  // namespace onnxport::nn
