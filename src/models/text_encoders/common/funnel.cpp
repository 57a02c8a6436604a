#include "models/text_encoders/common/funnel.h"

#include <cmath>

#include "models/common/definition.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/relative_attention.h"
#include "onnxport/op.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kTypes = 2;
constexpr double kClsType = 2;  // of the first token, which has the type of every other one

}  // namespace

FunnelConfig::FunnelConfig(const PretrainedConfig& c)
    : vocab_size(c.integer("vocab_size")),
      width(c.integer("d_model")),
      heads(c.integer("n_head")),
      head_dim(c.integer("d_head")),
      inner(c.integer("d_inner")),
      decoder_layers(c.integer("num_decoder_layers")),
      num_labels(c.num_labels()),
      blocks(c.integers("block_sizes")),
      repeats(blocks.size(), 1),
      activation(c.string("hidden_act")),
      eps(c.real("layer_norm_eps")),
      factorized(c.string("attention_type") == "factorized"),
      mean(c.string("pooling_type") == "mean"),
      separate_cls(c.flag("separate_cls")),
      truncate(c.flag("truncate_seq")),
      pool_queries_only(c.flag("pool_q_only")),
      tied(c.flag("tie_word_embeddings", true)) {
  if (c.has("block_repeats")) repeats = c.integers("block_repeats");
  if (const std::string type = c.string("attention_type"); !factorized && type != "relative_shift")
    refuse(c, fmt::format("attention_type is '{}', expected relative_shift or factorized", type));
  if (const std::string type = c.string("pooling_type"); !mean && type != "max")
    refuse(c, fmt::format("pooling_type is '{}', expected mean or max", type));
  check_multiple(c, "d_model", width, "sines and cosines", 2);
  if (heads < 1 || head_dim < 1) refuse(c, fmt::format("n_head is {} and d_head {}", heads, head_dim));
  constexpr std::size_t kMostBlocks = 20;
  if (blocks.empty() || blocks.size() > kMostBlocks || repeats.size() != blocks.size())
    refuse(c, fmt::format("block_sizes has {} numbers and block_repeats {}, expected as many, 1 to {}",
                          blocks.size(), repeats.size(), kMostBlocks));
  for (const auto* counts : {&blocks, &repeats}) {
    for (const std::int64_t count : *counts) {
      if (count < 1 || count > 1024)
        refuse(c, fmt::format("block_sizes or block_repeats has {}, expected 1 to 1024", count));
    }
  }
  c.harmless({"initializer_std", "pad_token_id"});
}

FunnelLayer::FunnelLayer(const Scope& s, const FunnelConfig& c)
    : path_(s.path()),
      config_(c),
      q_head_(s / "attention.q_head", c.width, c.heads * c.head_dim, false),
      k_head_(s / "attention.k_head", c.width, c.heads * c.head_dim),
      v_head_(s / "attention.v_head", c.width, c.heads * c.head_dim),
      post_proj_(s / "attention.post_proj", c.heads * c.head_dim, c.width),
      attention_norm_(c.norm(s / "attention.layer_norm")),
      mlp_((s / "ffn").path(), nn::Linear(s / "ffn.linear_1", c.width, c.inner),
           nn::Linear(s / "ffn.linear_2", c.inner, c.width), c.activation),
      norm_(c.norm(s / "ffn.layer_norm")) {
  const Scope attention = s / "attention";
  const std::int64_t all = c.heads * c.head_dim;
  const auto bias = [&](const char* name) {
    return attention.weight(name, {c.heads, c.head_dim}).reshape({all});
  };
  content_bias_ = bias("r_w_bias");
  distance_bias_ = bias("r_r_bias");
  type_bias_ = bias("r_s_bias");
  types_ = attention.weight("seg_embed", {kTypes, c.heads, c.head_dim}).reshape({kTypes, all});
  distance_ = attention.weight("r_kernel", {c.width, c.heads, c.head_dim}).permute({1, 2, 0});
}

// With sines and cosines of a difference as sums of products: [B, heads, m, n].
Value FunnelLayer::by_distance(Value query, Value from, Value to) const {
  Graph& graph = query.graph();
  const Value seeking = op::add(query, graph.weight(distance_bias_));
  const Value projected = op::matmul(nn::split_heads(seeking, config_.heads), graph.weight(distance_));
  const std::vector<Value> halves = op::chunk(projected, 3, 2);
  const std::vector<Value> own = op::chunk(nn::sinusoids(from, config_.width, query.dtype()), 1, 2);
  const std::vector<Value> other = op::chunk(nn::sinusoids(to, config_.width, query.dtype()), 1, 2);
  const auto weigh = [&](Value first, Value second, bool minus) {
    const Value a = op::mul(halves[0], first);
    const Value b = op::mul(halves[1], second);
    return minus ? op::sub(b, a) : op::add(a, b);
  };
  // sin(p - q) = sin p cos q - cos p sin q; cos(p - q) = cos p cos q + sin p sin q
  const Value with_cos = weigh(own[0], own[1], false);
  const Value with_sin = weigh(own[1], own[0], true);
  const Value first = op::matmul(with_cos, op::permute(other[1], {1, 0}));
  return op::add(first, op::matmul(with_sin, op::permute(other[0], {1, 0})));
}

// The table has the other type first.
Value FunnelLayer::by_type(Value query, const FunnelPlaces& from, const FunnelPlaces& to) const {
  Graph& graph = query.graph();
  const Value rows = op::unsqueeze(from.types, 2);
  const Value columns = op::unsqueeze(to.types, 1);
  const Value cls_column = op::eq(columns, kClsType);
  const Value cls = op::logical_or(op::eq(rows, kClsType), cls_column);
  const Value same = op::logical_or(op::eq(rows, columns), cls);
  const Value comparing = op::add(query, graph.weight(type_bias_));
  const Value counts = op::cast(op::unsqueeze(same, 1), query.dtype());
  return nn::type_scores(comparing, graph.weight(types_), counts, config_.heads);
}

// The first token, on its own, has neither place nor type.
Value FunnelLayer::without_cls(Value scores, const FunnelPlaces& from, const FunnelPlaces& to) const {
  if (!config_.separate_cls) return scores;
  Graph& graph = scores.graph();
  const Value rows = op::gt(op::unsqueeze(op::arange(graph, from.position.dim(0)), 1), 0.0);
  const Value columns = op::gt(op::arange(graph, to.position.dim(0)), 0.0);
  return op::mul(scores, op::cast(op::logical_and(rows, columns), scores.dtype()));
}

Value FunnelLayer::attend(Value query, Value key, const FunnelPlaces& from, const FunnelPlaces& to,
                          Value mask) const {
  Graph& graph = query.graph();
  const Value queries = q_head_(query);
  const Value keys = k_head_(key);
  const Value values = v_head_(key);
  const Value distances = by_distance(queries, from.position, to.position);
  const Value terms = without_cls(op::add(distances, by_type(queries, from, to)), from, to);
  op::AttentionMask sight = nn::padding_mask(op::gt(mask, 0.5));
  sight.bias = op::mul(terms, 1 / std::sqrt(static_cast<double>(config_.head_dim)));
  const op::AttentionOperands operands = {
      .query = op::add(queries, graph.weight(content_bias_)), .key = keys, .value = values, .mask = sight};
  const Value context = op::attention(operands, config_.heads, config_.heads).output;
  return attention_norm_(op::add(query, post_proj_(context)));
}

Value FunnelLayer::operator()(Value query, Value key, const FunnelPlaces& from, const FunnelPlaces& to,
                              Value mask) const {
  const ModulePath at(query, path_);
  const Value attended = attend(query, key, from, to, mask);
  return norm_(op::add(attended, mlp_(attended)));
}

}  // namespace onnxport::models
