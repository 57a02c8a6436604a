#include "onnxport/nn/pre_norm_encoder.h"

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

// Gate and input of a gated feed-forward in one product. Newer checkpoints store them apart.
Linear first_linear(const Scope& s, const EncoderLayerParameters& p, bool gated) {
  const std::int64_t in = p.attention.hidden_size, inner = p.intermediate_size;
  const Scope one = s / p.up, gate = s / "mlp.gate_proj", input = s / "mlp.up_proj";
  if (!gated || !gate.has("weight")) return {one, in, inner * (gated ? 2 : 1)};
  const auto joined = [&](const char* name, const std::vector<std::int64_t>& shape) {
    const std::vector<Weight> parts = {gate.weight(name, shape), input.weight(name, shape)};
    return Weight::concat(parts, 0);
  };
  return {one.path(), joined("weight", {inner, in}), joined("bias", {inner})};
}

}  // namespace

PreNormEncoderLayer::PreNormEncoderLayer(const Scope& s, const EncoderLayerParameters& p,
                                         const PreNormOptions& options)
    : path_(s.path()),
      attention_norm_(s / p.attention_norm, p.attention.hidden_size, p.eps),
      attention_(s / p.attention_key, p.attention),
      output_norm_(s / p.output_norm, p.attention.hidden_size, p.eps),
      up_(first_linear(s, p, options.gated)),
      down_(s / p.down, p.intermediate_size, p.attention.hidden_size),
      activation_(p.activation),
      gated_(options.gated) {
  const auto scale = [&](const std::string& key) { return s.weight(key, {p.attention.hidden_size}); };
  if (!options.attention_scale.empty()) attention_scale_ = scale(options.attention_scale);
  if (!options.output_scale.empty()) output_scale_ = scale(options.output_scale);
}

Value PreNormEncoderLayer::operator()(Value x, const op::AttentionMask& mask) const {
  const ModulePath at(x, path_);
  const auto scaled = [](Value y, const Weight& scale) {
    return scale ? op::mul(y, y.graph().weight(scale)) : y;
  };
  const Value attended = attention_(attention_norm_(x), mask);
  x = op::add(scaled(attended, attention_scale_), x);
  Value wide = up_(output_norm_(x));
  if (gated_) {
    const std::vector<Value> parts = op::chunk(wide, -1, 2);
    wide = op::mul(activation_(parts[0]), parts[1]);
  } else {
    wide = activation_(wide);
  }
  return op::add(scaled(down_(wide), output_scale_), x);
}

PreNormEncoder::PreNormEncoder(const Scope& s, std::int64_t layers, const EncoderLayerParameters& p,
                               const PreNormOptions& options) {
  for (std::int64_t i = 0; i < layers; ++i) layers_.emplace_back(s / i, p, options);
}

Value PreNormEncoder::operator()(Value x, const op::AttentionMask& mask) const {
  return states(x, mask).back();
}

std::vector<Value> PreNormEncoder::states(Value x, const op::AttentionMask& mask) const {
  std::vector<Value> states = {x};
  for (const PreNormEncoderLayer& layer : layers_) states.push_back(layer(states.back(), mask));
  return states;
}

}  // namespace onnxport::nn
