#include "models/audio/common/squeezed_encoder.h"

#include "onnxport/nn/activation.h"
#include "onnxport/nn/audio.h"
#include "onnxport/nn/basic.h"
#include "onnxport/op.h"

namespace onnxport::models {
namespace {

// The mean of each `factor` frames: [B, L, H] -> [B, L // factor, H]
Value pool(Value x, std::int64_t factor) {
  const Dim count = x.dim(1).floor_div(factor);
  const Value whole = op::slice(x, 1, 0, count * factor);
  return op::mean(op::reshape(whole, {x.dim(0), count, factor, x.dim(2)}), 2);
}

// [B, N, H] -> [B, length, H]: `factor` frames for each one, then zeros.
Value upsample(const Scope& s, const SqueezedConfig& c, Value x, const Dim& length) {
  const ModulePath at(x, s.path());
  const std::int64_t factor = c.squeeze_factor;
  const nn::Linear projection(s / "projection", c.hidden_size, c.hidden_size * factor);
  const Value wide = nn::Activation(c.features.activation)(projection(x));
  const Dim count = x.dim(1) * factor;
  const Value frames = op::reshape(wide, {x.dim(0), count, c.hidden_size});
  return op::pad(frames, {0, 0, 0}, {0, length - count, 0});
}

}  // namespace

SqueezedConfig::SqueezedConfig(const PretrainedConfig& c)
    : SpeechEncoderConfig(c), squeeze_factor(divisor(c, "squeeze_factor")) {
  encoder.positions.stride = squeeze_factor;
  encoder.pre_norm = false;
  refuse_adapter(c);
}

SqueezedStates squeezed_states(const Scope& s, const SqueezedConfig& c, double eps, Value samples,
                               const std::function<std::vector<Value>(Value)>& layers) {
  const std::int64_t channels = c.features.channels.back();
  const Value features = nn::FeatureEncoder(s / "feature_extractor", c.features)(samples);
  Value x = nn::LayerNorm(s / "layer_norm", channels, eps)(features);
  if (channels != c.hidden_size) x = nn::Linear(s / "feature_projection", channels, c.hidden_size)(x);

  const Scope encoder = s / "encoder";
  const nn::PositionalConv positions(encoder / "pos_conv_embed", c.encoder.positions);
  const Value pooled = pool(x, c.squeeze_factor);
  const Value placed = op::slice(positions(x), 1, 0, pooled.dim(1));
  SqueezedStates results = {layers(op::add(pooled, placed)), {}};
  results.last = upsample(encoder / "upsample", c, results.states.back(), x.dim(1));
  return results;
}

}  // namespace onnxport::models
