#include "onnxport/nn/attention.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "onnxport/op.h"

namespace onnxport::nn {

Value split_heads(Value x, std::int64_t heads) {
  const std::int64_t head_dim = x.dim(-1).constant().value() / heads;
  const Value spread = op::reshape(x, {x.dim(0), x.dim(1), heads, head_dim});
  return op::permute(spread, {0, 2, 1, 3});
}

Value merge_heads(Value x) {
  const Value together = op::permute(x, {0, 2, 1, 3});
  return op::reshape(together, {x.dim(0), x.dim(2), x.dim(1) * x.dim(3)});
}

namespace {

// bool: the keys that a mask [B, S] keeps.
Value kept(Value attention_mask) {
  const ModulePath at(attention_mask, "attention_mask");
  return attention_mask.dtype() == DType::boolean ? attention_mask : op::eq(attention_mask, 1.0);
}

}  // namespace

op::AttentionMask padding_mask(Value attention_mask) {
  if (!attention_mask) return {};
  return {.padding = kept(attention_mask), .no_keys = op::NoKeys::uniform};
}

Value padding_bias(Value attention_mask, DType dtype) {
  if (!attention_mask) return {};
  Graph& graph = attention_mask.graph();
  const Value keep = kept(attention_mask);
  const ModulePath at(graph, "attention_mask");
  const Value zero = op::scalar(graph, 0.0, dtype);
  const Value lowest_value = op::scalar(graph, lowest(dtype), dtype);
  const Value mask = op::where(keep, zero, lowest_value);
  return op::reshape(mask, {mask.dim(0), 1, 1, mask.dim(1)});
}

std::vector<std::int64_t> relative_bucket_thresholds(std::int64_t buckets, std::int64_t max_distance) {
  const std::int64_t exact = buckets / 2;  // distances below this have a bucket of their own
  std::vector<std::int64_t> thresholds;
  for (std::int64_t m = 1; m <= exact; ++m) thresholds.push_back(m);
  // Beyond, bucket exact + floor(log(m / exact) / log(max_distance / exact) * (buckets - exact)), at most the
  // last one. Computed in float, like the originals, because float arithmetic decides the bucket of a
  // distance on an edge.
  std::int64_t next = exact + 1;
  const auto denominator =
      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  for (std::int64_t m = exact + 1; next < buckets && m <= 2 * max_distance; ++m) {
    const float ratio = std::log(static_cast<float>(m) / static_cast<float>(exact)) / denominator;
    const auto bucket = exact + static_cast<std::int64_t>(ratio * static_cast<float>(buckets - exact));
    for (; next <= bucket && next < buckets; ++next) thresholds.push_back(m);
  }
  return thresholds;
}

RelativeKeyPositions::RelativeKeyPositions(const Scope& s, std::int64_t head_dim,
                                           const RelativeKeyParameters& p)
    : path_(s.path()),
      weight_((s / "distance_embedding").weight("weight", {2 * p.max_positions - 1, head_dim})),
      parameters_(p) {}

Value RelativeKeyPositions::operator()(Value query, Value key) const {
  Graph& graph = query.graph();
  const ModulePath at(graph, path_);
  const Dim& length = query.dim(2);
  const Value positions = op::arange(graph, length);
  const Value left = op::unsqueeze(positions, 1);
  const Value distance =
      op::add(op::sub(left, positions), static_cast<double>(parameters_.max_positions - 1));
  const Value table = op::embedding(graph.weight(weight_), distance);  // [query, key, d]
  // Each query has its own distance vectors, so the product is one row times a matrix per query.
  const Value query_rows = op::unsqueeze(query, 3);
  const Value by_query = op::permute(table, {0, 2, 1});
  Value query_terms = op::squeeze(op::matmul(query_rows, by_query), 3);
  if (!parameters_.with_key) return query_terms;
  const Value key_rows = op::unsqueeze(key, 3);
  const Value by_key = op::permute(table, {1, 2, 0});
  const Value key_terms = op::squeeze(op::matmul(key_rows, by_key), 3);
  return op::add(query_terms, op::transpose(key_terms, 2, 3));
}

RelativeBias::RelativeBias(const Scope& s, const RelativeBiasParameters& p)
    : path_(s.path()), weight_(s.weight("weight", {p.rows, p.heads})), parameters_(p) {}

Value RelativeBias::operator()(Graph& graph, const Dim& length, const Dim& past) const {
  const ModulePath at(graph, path_);
  const bool both_ways = parameters_.both_ways;
  const std::int64_t per_side = both_ways ? parameters_.buckets / 2 : parameters_.buckets;
  const std::vector<std::int64_t> thresholds = relative_bucket_thresholds(per_side, parameters_.max_distance);
  // The buckets of all distances up to that from which on they share the last one. A comparison of each
  // distance with each threshold would take a tenth of the time of a model with many buckets.
  const std::int64_t farthest = thresholds.empty() ? 1 : thresholds.back(), most = both_ways ? farthest : 0;
  std::vector<std::int64_t> buckets;
  for (std::int64_t key_minus_query = -farthest; key_minus_query <= most; ++key_minus_query) {
    const auto reached = std::ranges::upper_bound(thresholds, std::abs(key_minus_query));
    buckets.push_back((reached - thresholds.begin()) + (key_minus_query > 0 ? per_side : 0));
  }
  const Value of_distance =
      graph.weight(Weight::from_ints({static_cast<std::int64_t>(buckets.size())}, buckets));
  const Value by_distance = op::embedding(graph.weight(weight_), of_distance);  // [distance, heads]
  const Value keys = op::arange(graph, past + length);
  const Value queries = op::unsqueeze(op::arange(graph, length, past), 1);
  const Value key_minus_query = op::sub(keys, queries);  // [query, key]
  const Value near =
      op::minimum(op::maximum(key_minus_query, static_cast<double>(-farthest)), static_cast<double>(most));
  const Value row = op::add(near, static_cast<double>(farthest));
  const Value bias = op::embedding(by_distance, row);  // [query, key, heads]
  return op::unsqueeze(op::permute(bias, {2, 0, 1}), 0);
}

SelfAttention::SelfAttention(const Scope& s, const SelfAttentionParameters& p)
    : path_(s.path()),
      heads_(p.heads),
      head_dim_(p.hidden_size / p.heads),
      relative_scaled_(p.relative_positions && p.relative_positions->scaled),
      query_(s / p.query, p.hidden_size, p.hidden_size, p.bias != QkvBias::none),
      key_(s / p.key, p.hidden_size, p.hidden_size, p.bias == QkvBias::all),
      value_(s / p.value, p.hidden_size, p.hidden_size, p.bias != QkvBias::none),
      output_(s / p.output, p.hidden_size, p.hidden_size) {
  if (!p.relative_positions) return;
  // The table is stored beside the query projection.
  const std::size_t dot = p.query.rfind('.');
  const Scope beside = dot == std::string::npos ? s : s / p.query.substr(0, dot);
  positions_.emplace(beside, head_dim_, *p.relative_positions);
}

Value SelfAttention::operator()(Value x, op::AttentionMask mask) const {
  const ModulePath at(x, path_);
  const Value query = query_(x);
  const Value key = key_(x);
  const Value value = value_(x);
  if (positions_) {
    const Value query_heads = split_heads(query, heads_);
    Value terms = (*positions_)(query_heads, split_heads(key, heads_));
    if (relative_scaled_) terms = op::mul(terms, 1.0 / std::sqrt(static_cast<double>(head_dim_)));
    mask.bias = mask.bias ? op::add(terms, mask.bias) : terms;
  }
  return output_(
      op::attention({.query = query, .key = key, .value = value, .mask = mask}, heads_, heads_).output);
}

}  // namespace onnxport::nn
