#include "models/audio/common/whisper.h"

#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {

nn::Seq2SeqLayerParameters whisper_layer(const PretrainedConfig& c, const WhisperEncoderKeys& keys) {
  return {.hidden_size = c.integer(keys.width),
          .heads = c.integer(keys.heads),
          .ffn_dim = c.integer(keys.inner),
          .activation = c.string("activation_function"),
          .norm_before = true,
          .bias = nn::QkvBias::query_and_value};
}

WhisperEncoderConfig::WhisperEncoderConfig(const PretrainedConfig& c, const WhisperEncoderKeys& keys)
    : mel_bins(c.integer("num_mel_bins")),
      positions(c.integer("max_source_positions")),
      layers(c.integer(keys.layers)),
      layer(whisper_layer(c, keys)) {
  check_multiple(c, keys.width, layer.hidden_size, keys.heads, layer.heads);
}

std::vector<Value> whisper_encoder_states(const Scope& s, const WhisperEncoderConfig& c, Value features,
                                          const op::AttentionMask& mask) {
  const ModulePath at(features, s.path());
  const std::int64_t width = c.layer.hidden_size;
  const nn::Conv1d conv1(s / "conv1", c.mel_bins, width, 3, true, {.padding = {1, 1}});
  const nn::Conv1d conv2(s / "conv2", width, width, 3, true, {.stride = {kWhisperStride}, .padding = {1, 1}});
  const nn::Embedding positions(s / "embed_positions", c.positions, width);
  Value x = op::gelu(conv2(op::gelu(conv1(features))));
  x = op::permute(x, {0, 2, 1});
  const Value table = features.graph().weight(positions.weight());
  x = op::add(x, x.dim(1) == Dim(c.positions) ? table : op::slice(table, 0, 0, x.dim(1)));
  std::vector<Value> states = {x};
  for (std::int64_t i = 0; i < c.layers; ++i) {
    x = nn::Seq2SeqEncoderLayer(s / "layers" / i, c.layer)(x, mask);
    states.push_back(x);
  }
  return states;
}

Value whisper_encoder_norm(const Scope& s, Value x) {
  const ModulePath at(x, s.path());
  return nn::LayerNorm(s / "layer_norm", *x.dim(2).constant(), kWhisperEps)(x);
}

}  // namespace onnxport::models
