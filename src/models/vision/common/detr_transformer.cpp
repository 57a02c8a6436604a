#include <vector>

#include "models/vision/common/detector_backbone.h"
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

Value DetrAttention::operator()(Value query_input, Value key_input, Value value_input, Value seen) const {
  const ModulePath at(query_input, path_);
  Value query = q_proj_(query_input);
  const Value key = k_proj_(key_input);
  const Value value = v_proj_(value_input);
  if (query.dim(0) != key.dim(0)) query = op::expand(query, {key.dim(0), query.dim(1), query.dim(2)});
  const op::AttentionMask mask = nn::padding_mask(seen);
  return out_proj_(
      op::attention({.query = query, .key = key, .value = value, .mask = mask}, heads_, heads_).output);
}

// So is every mean of the values.
Value DetrAttention::of_equal(Value value) const {
  const ModulePath at(value, path_);
  return out_proj_(v_proj_(value));
}

DetrResidual::DetrResidual(const Scope& s, std::int64_t width, NormPlace norms)
    : norm_(s, width, kEps), norms_(norms) {}

DetrFeedForward::DetrFeedForward(const Scope& s, std::int64_t width, std::int64_t inner,
                                 const std::string& activation, NormPlace norms)
    : fc1_(s / "fc1", width, inner),
      fc2_(s / "fc2", inner, width),
      activation_(activation),
      residual_(s / "final_layer_norm", width, norms) {}

Value DetrFeedForward::operator()(Value x) const {
  return residual_(x, [&](Value y) { return fc2_(activation_(fc1_(y))); });
}

DetrEncoderLayer::DetrEncoderLayer(const Scope& s, const DetrConfig& c)
    : path_(s.path()),
      self_attn_(s / "self_attn", c.d_model, c.encoder_heads),
      self_attn_residual_(s / "self_attn_layer_norm", c.d_model, c.norms),
      feed_forward_(s, c.d_model, c.encoder_ffn_dim, c.activation, c.norms) {}

Value DetrEncoderLayer::operator()(Value x, Value positions, Value seen) const {
  const ModulePath at(x, path_);
  x = self_attn_residual_(x, [&](Value y) {
    const Value placed = op::add(y, positions);
    return self_attn_(placed, placed, y, seen);
  });
  return feed_forward_(x);
}

DetrEncoder::DetrEncoder(const Scope& s, const DetrConfig& c, std::int64_t channels)
    : path_(s.path()),
      position_embedding_(s / "backbone" / "position_embedding", c.positions, c.d_model),
      input_projection_(s / "input_projection", channels, c.d_model, {1, 1}) {
  for (std::int64_t i = 0; i < c.encoder_layers; ++i) layers_.emplace_back(s / "encoder" / "layers" / i, c);
  if (c.norms == NormPlace::before) norm_.emplace(s / "encoder" / "layernorm", c.d_model, kEps);
}

// If there is no pixel mask, the original uses ones, so no pixel is hidden.
DetrMemory DetrEncoder::operator()(Value image, Value pixel_mask) const {
  const ModulePath at(image, path_);
  const Value seen = mask_at(pixel_mask, image);
  DetrMemory memory;
  memory.positions = position_embedding_(image, seen);
  memory.projected = input_projection_(image);
  memory.tokens = nn::image_to_tokens(memory.projected);
  if (seen) memory.seen = op::flatten(seen, 1, 2);
  for (const DetrEncoderLayer& layer : layers_)
    memory.tokens = layer(memory.tokens, memory.positions, memory.seen);
  if (norm_) memory.tokens = (*norm_)(memory.tokens);
  return memory;
}

DetrDecoderLayer::DetrDecoderLayer(const Scope& s, const DetrConfig& c)
    : path_(s.path()),
      width_(c.d_model),
      self_attn_(s / "self_attn", c.d_model, c.decoder_heads),
      encoder_attn_(s / "encoder_attn", c.d_model, c.decoder_heads),
      self_attn_residual_(s / "self_attn_layer_norm", c.d_model, c.norms),
      encoder_attn_residual_(s / "encoder_attn_layer_norm", c.d_model, c.norms),
      feed_forward_(s, c.d_model, c.decoder_ffn_dim, c.activation, c.norms) {}

// The self-attention of zeros, with its residual and norm: the same for all queries, [1, 1, width].
Value DetrDecoderLayer::of_zeros(Graph& graph) const {
  const std::vector<double> none(static_cast<std::size_t>(width_));
  const Value zeros = graph.weight(Weight::from_doubles(DType::f32, {1, 1, width_}, none));
  const bool before = self_attn_residual_.place() == NormPlace::before;
  const Value attended = self_attn_.of_equal(before ? self_attn_residual_.norm(zeros) : zeros);
  return before ? attended : self_attn_residual_.norm(attended);
}

Value DetrDecoderLayer::operator()(Value x, Value queries, const DetrMemory& memory, Value placed) const {
  const ModulePath at(placed, path_);
  if (x) {
    x = self_attn_residual_(x, [&](Value y) {
      const Value asking = op::add(y, queries);
      return self_attn_(asking, asking, y);
    });
  } else {
    x = of_zeros(placed.graph());
  }
  x = encoder_attn_residual_(
      x, [&](Value y) { return encoder_attn_(op::add(y, queries), placed, memory.tokens, memory.seen); });
  return feed_forward_(x);
}

DetrDecoder::DetrDecoder(const Scope& s, const DetrConfig& c)
    : path_((s / "decoder").path()),
      queries_(s.weight("query_position_embeddings.weight", {c.num_queries, c.d_model})),
      norm_(s / "decoder" / "layernorm", c.d_model, kEps),
      norm_each_layer_(c.norm_each_layer) {
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) layers_.emplace_back(s / "decoder" / "layers" / i, c);
}

Value DetrDecoder::operator()(const DetrMemory& memory) const {
  const ModulePath at(memory.tokens, path_);
  const Value placed = op::add(memory.tokens, memory.positions);
  const Value asking = placed.graph().weight(queries_);
  Value x;
  for (const DetrDecoderLayer& layer : layers_) {
    x = layer(x, asking, memory, placed);
    if (norm_each_layer_) x = norm_(x);
  }
  return norm_(x);
}

DetrResults run_detr(const TasksManager& tasks, const Inputs& inputs, const Model& model, const Scope& base,
                     const DetrConfig& c) {
  DetrResults r;
  {
    const ModulePath at(inputs["pixel_values"], base.path());
    r.features = detector_backbone(tasks, base / "backbone" / "conv_encoder" / "model", model.config(),
                                   inputs["pixel_values"]);
  }
  const Value image = r.features.back();
  r.memory = DetrEncoder(base, c, *image.dim(1).constant())(image, inputs.get("pixel_mask"));
  r.hidden = DetrDecoder(base, c)(r.memory);
  return r;
}

}  // namespace onnxport::models
