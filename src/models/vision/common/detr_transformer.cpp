#include <utility>

#include "models/vision/common/detr.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // not configurable

}  // namespace

DetrAttention::DetrAttention(const Scope& s, std::int64_t width, std::int64_t heads)
    : path_(s.path()),
      heads_(heads),
      q_proj_(s / "q_proj", width, width),
      k_proj_(s / "k_proj", width, width),
      v_proj_(s / "v_proj", width, width),
      out_proj_(s / "out_proj", width, width) {}

Value DetrAttention::operator()(Value query_input, Value key_input, Value value_input) const {
  const ModulePath at(query_input, path_);
  Value query = q_proj_(query_input);
  const Value key = k_proj_(key_input);
  const Value value = v_proj_(value_input);
  if (query.dim(0) != key.dim(0)) query = op::expand(query, {key.dim(0), query.dim(1), query.dim(2)});
  return out_proj_(op::attention({.query = query, .key = key, .value = value}, heads_, heads_).output);
}

// All values are the bias then, and so is every mean of them.
Value DetrAttention::of_zeros(Graph& graph) const {
  const ModulePath at(graph, path_);
  return out_proj_(graph.weight(v_proj_.bias().reshape({1, 1, v_proj_.bias().numel()})));
}

DetrFeedForward::DetrFeedForward(const Scope& s, std::int64_t width, std::int64_t inner,
                                 const std::string& activation)
    : fc1_(s / "fc1", width, inner),
      fc2_(s / "fc2", inner, width),
      activation_(activation),
      norm_(s / "final_layer_norm", width, kEps) {}

Value DetrFeedForward::operator()(Value x) const { return norm_(op::add(x, fc2_(activation_(fc1_(x))))); }

DetrEncoderLayer::DetrEncoderLayer(const Scope& s, const DetrConfig& c)
    : path_(s.path()),
      self_attn_(s / "self_attn", c.d_model, c.encoder_heads),
      self_attn_norm_(s / "self_attn_layer_norm", c.d_model, kEps),
      feed_forward_(s, c.d_model, c.encoder_ffn_dim, c.activation) {}

Value DetrEncoderLayer::operator()(Value x, Value positions) const {
  const ModulePath at(x, path_);
  const Value placed = op::add(x, positions);
  const Value attended = self_attn_(placed, placed, x);
  return feed_forward_(self_attn_norm_(op::add(x, attended)));
}

DetrDecoderLayer::DetrDecoderLayer(const Scope& s, const DetrConfig& c)
    : path_(s.path()),
      self_attn_(s / "self_attn", c.d_model, c.decoder_heads),
      encoder_attn_(s / "encoder_attn", c.d_model, c.decoder_heads),
      self_attn_norm_(s / "self_attn_layer_norm", c.d_model, kEps),
      encoder_attn_norm_(s / "encoder_attn_layer_norm", c.d_model, kEps),
      feed_forward_(s, c.d_model, c.decoder_ffn_dim, c.activation) {}

Value DetrDecoderLayer::operator()(Value x, Value queries, Value memory, Value placed) const {
  const ModulePath at(memory, path_);
  if (x) {
    const Value asking = op::add(x, queries);
    const Value attended = self_attn_(asking, asking, x);
    x = op::add(x, attended);
  } else {
    x = self_attn_.of_zeros(memory.graph());
  }
  x = self_attn_norm_(x);
  const Value attended = encoder_attn_(op::add(x, queries), placed, memory);
  return feed_forward_(encoder_attn_norm_(op::add(x, attended)));
}

Detr::Detr(const Scope& s, const DetrConfig& c, std::int64_t channels)
    : path_(s.path()),
      position_embedding_(s / "backbone" / "position_embedding", c.positions, c.d_model),
      input_projection_(s / "input_projection", channels, c.d_model, {1, 1}),
      queries_(s.weight("query_position_embeddings.weight", {c.num_queries, c.d_model})),
      norm_(s / "decoder" / "layernorm", c.d_model, kEps),
      norm_each_layer_(c.norm_each_layer) {
  for (std::int64_t i = 0; i < c.encoder_layers; ++i) encoder_.emplace_back(s / "encoder" / "layers" / i, c);
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) decoder_.emplace_back(s / "decoder" / "layers" / i, c);
}

// If there is no pixel mask, the original uses ones, so no pixel is hidden.
DetrResults Detr::operator()(std::vector<Value> features) const {
  const ModulePath at(features.back(), path_);
  DetrResults r;
  r.features = std::move(features);
  const Value positions = position_embedding_(r.features.back());
  r.projected = input_projection_(r.features.back());
  r.memory = nn::image_to_tokens(r.projected);
  for (const DetrEncoderLayer& layer : encoder_) r.memory = layer(r.memory, positions);
  const Value placed = op::add(r.memory, positions);
  const Value asking = r.memory.graph().weight(queries_);
  for (const DetrDecoderLayer& layer : decoder_) {
    r.hidden = layer(r.hidden, asking, r.memory, placed);
    if (norm_each_layer_) r.hidden = norm_(r.hidden);
  }
  r.hidden = norm_(r.hidden);
  return r;
}

}  // namespace onnxport::models
