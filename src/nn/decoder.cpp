#include "onnxport/nn/decoder.h"

#include <array>

namespace onnxport::nn {

// ---- queries, keys and values ----

QkvProjection QkvProjection::separate(const Scope& s, const HeadSizes& sizes, bool bias,
                                      const std::string& query, const std::string& key,
                                      const std::string& value, bool key_bias) {
  return {{Linear(s / query, sizes.hidden_size, sizes.heads * sizes.head_dim, bias),
           Linear(s / key, sizes.hidden_size, sizes.kv_heads * sizes.head_dim, bias && key_bias),
           Linear(s / value, sizes.hidden_size, sizes.kv_heads * sizes.head_dim, bias)},
          {}};
}

QkvProjection QkvProjection::fused(const Linear& fused, const HeadSizes& sizes, FusedLayout layout) {
  const std::vector<std::int64_t> widths = {sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim,
                                            sizes.kv_heads * sizes.head_dim};
  if (layout == FusedLayout::stacked) return {{fused}, widths};
  // The rows are sorted at export, so that the graph cuts its activations in three.
  const std::int64_t group = sizes.heads / sizes.kv_heads;
  const auto sorted = [&](const Weight& rows) {
    std::vector<std::int64_t> shape = {sizes.kv_heads, group + 2, sizes.head_dim};
    std::vector<std::int64_t> flat = {0};
    if (rows.shape().size() == 2) {
      shape.push_back(rows.shape()[1]);
      flat.push_back(rows.shape()[1]);
    }
    const Weight groups = rows.reshape(shape);
    std::vector<Weight> parts;
    for (const auto& [begin, end] : std::array<std::array<std::int64_t, 2>, 3>{
             {{0, group}, {group, group + 1}, {group + 1, group + 2}}}) {
      const Weight part = groups.slice(1, begin, end);
      flat[0] = sizes.kv_heads * (end - begin) * sizes.head_dim;
      parts.push_back(part.reshape(flat));
    }
    return Weight::concat(parts, 0);
  };
  return {{Linear(fused.path(), sorted(fused.weight()), fused.bias() ? sorted(fused.bias()) : Weight())},
          widths};
}

QkvProjection QkvProjection::repeated(const HeadSizes& sizes) && {
  repeated_ = sizes;
  return std::move(*this);
}

QueryKeyValue QkvProjection::operator()(Value x) const {
  if (linears_.size() == 3) {
    const Value query = linears_[0](x);
    const Value key = linears_[1](x);
    const Value value = linears_[2](x);
    return {query, key, value};
  }
  std::vector<Value> parts = op::split(linears_[0](x), -1, widths_);
  if (repeated_) {
    const HeadSizes& z = *repeated_;
    const Dim &batch = x.dim(0), &length = x.dim(1);
    for (std::size_t i = 1; i < 3; ++i) {
      const Value once = op::reshape(parts[i], {batch, length, z.kv_heads, 1, z.head_dim});
      const Value often = op::expand(once, {batch, length, z.kv_heads, z.heads / z.kv_heads, z.head_dim});
      parts[i] = op::reshape(often, parts[0].shape());
    }
  }
  return {parts[0], parts[1], parts[2]};
}

// ---- attention ----

CausalAttention::CausalAttention(const Scope& s, CausalAttentionParameters p, QkvProjection qkv,
                                 Linear output)
    : path_(s.path()), parameters_(p), qkv_(std::move(qkv)), output_(std::move(output)) {
  if (!parameters_.head_norm) return;
  query_norm_.emplace(s / "q_norm", parameters_.sizes.head_dim, *parameters_.head_norm);
  key_norm_.emplace(s / "k_norm", parameters_.sizes.head_dim, *parameters_.head_norm);
}

Value CausalAttention::operator()(Value x, DecoderPass& pass, std::int64_t layer,
                                  const op::AttentionMask& mask, const op::Rope& rope) const {
  const ModulePath at(x, path_);
  QueryKeyValue now = qkv_(x);
  const HeadSizes& sizes = parameters_.sizes;
  const auto by_head = [&](Value value, std::int64_t heads, const RmsNorm& norm) {
    const Value apart = op::reshape(value, {value.dim(0), value.dim(1), heads, sizes.head_dim});
    return op::reshape(norm(apart), value.shape());
  };
  if (query_norm_) now.query = by_head(now.query, sizes.heads, *query_norm_);
  if (key_norm_) now.key = by_head(now.key, sizes.kv_heads, *key_norm_);
  const KeyValue past = pass.past(layer);
  const op::AttentionResults results = op::attention({.query = now.query,
                                                      .key = now.key,
                                                      .value = now.value,
                                                      .past_key = past.key,
                                                      .past_value = past.value,
                                                      .mask = mask,
                                                      .rope = rope},
                                                     sizes.heads, sizes.kv_heads, parameters_.options);
  pass.keep(layer, {results.key, results.value});
  return output_(results.output);
}

// ---- feed-forward ----

Value Mlp::operator()(Value x) const {
  const ModulePath at(x, path_);
  return down_(activation_(up_(x)));
}

namespace {

std::vector<Linear> gate_up(const Scope& s, const GatedMlpParameters& p) {
  if ((s / "gate_up_proj").exists())
    return {Linear(s / "gate_up_proj", p.hidden_size, 2 * p.intermediate_size, p.bias)};
  return {Linear(s / "gate_proj", p.hidden_size, p.intermediate_size, p.bias),
          Linear(s / "up_proj", p.hidden_size, p.intermediate_size, p.bias)};
}

}  // namespace

GatedMlp::GatedMlp(const Scope& s, const GatedMlpParameters& p)
    : path_(s.path()),
      gate_up_(gate_up(s, p)),
      down_(s / "down_proj", p.intermediate_size, p.hidden_size, p.bias),
      activation_(p.activation) {}

Value GatedMlp::operator()(Value x) const {
  const ModulePath at(x, path_);
  std::vector<Value> parts;
  if (gate_up_.size() == 1) {
    parts = op::chunk(gate_up_[0](x), -1, 2);
  } else {
    for (const Linear& linear : gate_up_) parts.push_back(linear(x));
  }
  const Value gate = activation_(parts[0]);
  return down_(op::mul(gate, parts[1]));
}

// ---- the stack of pre-norm blocks ----

PreNormDecoder::PreNormDecoder(const Scope& s, DecoderParameters p)
    : path_(s.path()),
      parameters_(std::move(p)),
      embed_tokens_(s / "embed_tokens", parameters_.vocab_size, parameters_.attention.sizes.hidden_size),
      norm_(s / "norm", parameters_.attention.sizes.hidden_size, parameters_.norm) {
  for (const auto& kind : parameters_.kinds) rotaries_.emplace_back((s / "rotary_emb").path(), kind.rope);
  for (std::int64_t i = 0; i < parameters_.layers; ++i) layers_.push_back(make_layer(s / "layers" / i, i));
}

PreNormDecoder::Layer PreNormDecoder::make_layer(const Scope& s, std::int64_t index) const {
  const HeadSizes& sizes = parameters_.attention.sizes;
  const auto norm = [&](const char* key) { return RmsNorm(s / key, sizes.hidden_size, parameters_.norm); };
  const Scope attention = s / "self_attn";
  Linear output(attention / "o_proj", sizes.heads * sizes.head_dim, sizes.hidden_size,
                parameters_.output_bias);
  Layer layer{
      .before_attention = norm("input_layernorm"),
      .attention =
          CausalAttention(attention, parameters_.attention, parameters_.qkv(attention), std::move(output)),
      .after_attention = {},
      .before_mlp = norm(parameters_.sandwich ? "pre_feedforward_layernorm" : "post_attention_layernorm"),
      .mlp = parameters_.mlp(s, index),
      .after_mlp = {}};
  if (parameters_.sandwich) {
    layer.after_attention = norm("post_attention_layernorm");
    layer.after_mlp = norm("post_feedforward_layernorm");
  }
  return layer;
}

Value PreNormDecoder::operator()(DecoderPass& pass) const {
  const ModulePath at(pass.graph(), path_);
  Value x = pass.embedded(embed_tokens_);
  if (parameters_.embedding_scale) x = op::mul(x, *parameters_.embedding_scale);
  const Value position_ids = pass.position_ids();
  const op::NoKeys no_keys = parameters_.eager ? op::NoKeys::uniform : op::NoKeys::zero;
  std::vector<op::Rope> ropes;
  for (const RotaryEmbedding& rotary : rotaries_) ropes.push_back(rotary(position_ids));
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const std::size_t kind = parameters_.kind_of_layer.empty() ? 0 : parameters_.kind_of_layer.at(i);
    const Visibility& visible = parameters_.kinds.at(kind).visible;
    Value attended = layer.attention(layer.before_attention(x), pass, static_cast<std::int64_t>(i),
                                     pass.mask(visible, no_keys), ropes[kind]);
    // A prefill hands over what a window will still see, as the original's cache does.
    const auto window = visible.window;
    if (window && *window > 1 && !pass.has_past()) pass.crop(static_cast<std::int64_t>(i), *window - 1);
    if (layer.after_attention) attended = (*layer.after_attention)(attended);
    x = op::add(x, attended);
    Value made = layer.mlp(layer.before_mlp(x));
    if (layer.after_mlp) made = (*layer.after_mlp)(made);
    x = op::add(x, made);
  }
  return norm_(x);
}

}  // namespace onnxport::nn
