#include "models/text_encoders/common/disentangled_attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "onnxport/nn/attention.h"
#include "onnxport/op.h"

namespace onnxport::models {
namespace {

// The bucket of a distance m >= 0: small distances have their own bucket, larger ones grow with the
// logarithm (or shrink, if max_distance is below the middle). Computed in float, like the original.
std::int64_t bucket(std::int64_t m, const DistanceBuckets& b) {
  const std::int64_t middle = b.buckets / 2;
  if (b.buckets < 1 || m <= middle) return m;
  const auto logarithm = [&](std::int64_t distance) {
    return std::log(static_cast<float>(distance) / static_cast<float>(middle));
  };
  const float ratio = logarithm(m) / logarithm(b.max_distance - 1);
  return middle + static_cast<std::int64_t>(std::ceil(ratio * static_cast<float>(middle - 1)));
}

// x [B, heads, S, 2 S], where column c of row i belongs to position i + c - S: -> [B, heads, S, S] with the
// columns of positions 0, …, S - 1. In row-major order, element (i, j) is at i (2 S - 1) + j + S, so a
// reshape selects the columns without any index.
Value align(Value x) {
  const Dim& length = x.dim(2);
  const Value flat = op::flatten(x, 2, 3);
  const Value cut = op::slice(flat, 2, length, flat.dim(2));
  const Value rows = op::reshape(cut, {x.dim(0), x.dim(1), length, length * 2 - 1});
  return op::slice(rows, 3, 0, length);
}

// All terms have the same scale, and each contains a query, so the queries are scaled.
double scale_of(const DisentangledAttentionParameters& p) {
  const std::int64_t head_dim = p.hidden_size / p.heads;
  const std::int64_t terms = 1 + (p.content_to_position ? 1 : 0) + (p.position_to_content ? 1 : 0);
  return 1.0 / std::sqrt(static_cast<double>(head_dim * terms));
}

// The projection to queries, keys or values.
nn::Linear content(const Scope& s, const DisentangledAttentionParameters& p, int which) {
  static constexpr const char* kApart[] = {"query_proj", "key_proj", "value_proj"};
  static constexpr const char* kBiases[] = {"q_bias", "", "v_bias"};
  const std::int64_t width = p.hidden_size;
  if (p.contents == ContentProjections::apart) return {s / kApart[which], width, width};
  const Scope in_proj = s / "in_proj";
  const Weight stored = in_proj.weight("weight", {3 * width, width});
  const Weight by_head = stored.reshape({p.heads, 3, width / p.heads, width});
  const Weight weight = by_head.slice(1, which, which + 1).reshape({width, width});
  return {in_proj.path(), weight, which == 1 ? Weight() : s.weight(kBiases[which], {width})};
}

}  // namespace

DistanceRows::DistanceRows(Graph& graph, const Dim& length, const DistanceBuckets& b) {
  const std::int64_t span = b.span();
  // Beyond the farthest distance, all have the same row. The buckets of odd numbers grow beyond max_distance,
  // and those of numbers too large for it shrink. No text is longer than kLongest.
  constexpr std::int64_t kLongest = 1 << 17;
  std::int64_t farthest = 0;
  while (farthest < kLongest && std::abs(bucket(farthest, b)) < span) ++farthest;
  if (b.buckets > 0 && b.buckets / 2 == 1) farthest = 1;  // all far distances have bucket 1
  std::vector<std::int64_t> rows;
  for (std::int64_t d = -farthest; d <= farthest; ++d) {
    const std::int64_t place = span + (d < 0 ? -bucket(-d, b) : bucket(d, b));
    rows.push_back(std::clamp<std::int64_t>(place, 0, 2 * span - 1));
  }
  const std::int64_t count = 2 * farthest + 1;
  const Value table = graph.weight(Weight::from_ints({count}, rows));
  std::reverse(rows.begin(), rows.end());
  const Value mirrored = graph.weight(Weight::from_ints({count}, rows));
  const Value distance = op::arange(graph, length * 2, Dim(farthest) - length);
  const Value within = op::minimum(op::maximum(distance, 0.0), static_cast<double>(count - 1));
  ahead = op::embedding(table, within);
  behind = op::embedding(mirrored, within);
}

DisentangledAttention::DisentangledAttention(const Scope& s, const DisentangledAttentionParameters& p)
    : path_(s.path()),
      heads_(p.heads),
      scale_(scale_of(p)),
      query_proj_(content(s, p, 0)),
      key_proj_(content(s, p, 1)),
      value_proj_(content(s, p, 2)) {
  if (p.projections == PositionProjections::none) return;
  const bool shared = p.projections == PositionProjections::shared;
  const bool packed = p.contents == ContentProjections::packed;
  const auto own = [&](const char* key, bool bias) {
    return nn::Linear(s / key, p.hidden_size, p.hidden_size, bias);
  };
  if (p.content_to_position)
    pos_key_proj_ = shared ? key_proj_ : own(packed ? "pos_proj" : "pos_key_proj", !packed);
  if (p.position_to_content)
    pos_query_proj_ = shared ? query_proj_ : own(packed ? "pos_q_proj" : "pos_query_proj", true);
}

// x [B, heads, S, d] with the positions [2 span, heads * d] at the distances of `rows`: [B, heads, S, S].
Value DisentangledAttention::term(Value x, Value positions, Value rows) const {
  const Value by_head = op::reshape(positions, {positions.dim(0), heads_, x.dim(3)});
  const Value near = op::permute(op::embedding(by_head, rows), {1, 2, 0});
  return align(op::matmul(x, near));
}

Value DisentangledAttention::operator()(Value x, const DisentangledContext& shared) const {
  const ModulePath at(x, path_);
  const Value query = op::mul(query_proj_(x), scale_);
  const Value key = key_proj_(x);
  const Value value = value_proj_(x);
  Value added = shared.mask;
  const auto add = [&](Value term) { added = added ? op::add(term, added) : term; };
  if (pos_key_proj_) {  // query i looks at distance i - j
    const Value keys = (*pos_key_proj_)(shared.positions);
    add(term(nn::split_heads(query, heads_), keys, shared.rows->behind));
  }
  if (pos_query_proj_) {  // key j is looked at from distance i - j
    const Value queries = op::mul((*pos_query_proj_)(shared.positions), scale_);
    const Value by_key = term(nn::split_heads(key, heads_), queries, shared.rows->ahead);
    add(op::transpose(by_key, 2, 3));
  }
  const op::AttentionOperands operands = {
      .query = query, .key = key, .value = value, .mask = {.bias = added}};
  return op::attention(operands, heads_, heads_, {.scale = 1.0}).output;
}

}  // namespace onnxport::models
