/// Whisper's encoder, which other types have, too.
#pragma once

#include <cstdint>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {

/// Frames of a spectrogram for each hidden state: the stride of the second convolution.
inline constexpr std::int64_t kWhisperStride = 2;
/// Of all norms: torch's default, not configurable.
inline constexpr double kWhisperEps = 1e-5;

/// Keys of a configuration that types call differently.
struct WhisperEncoderKeys {
  const char *width = "d_model", *layers = "encoder_layers", *heads = "encoder_attention_heads",
             *inner = "encoder_ffn_dim";
};

struct WhisperEncoderConfig {
  std::int64_t mel_bins = 0, positions = 0, layers = 0;
  nn::Seq2SeqLayerParameters layer;

  explicit WhisperEncoderConfig(const PretrainedConfig& config, const WhisperEncoderKeys& keys = {});

  /// The features: all spectrograms have the frames of the table of positions.
  AudioFeatures features() const { return {.size = mel_bins, .frames = kWhisperStride * positions}; }
};

/// The layers of Whisper's encoder, and with other keys those of its decoder.
nn::Seq2SeqLayerParameters whisper_layer(const PretrainedConfig& config, const WhisperEncoderKeys& keys);

/// features [B, mel_bins, frames] -> the hidden states before each layer and after the last one, without the
/// norm behind it, all [B, frames / 2, d_model]. The mask is that of the hidden states. A client may give
/// fewer frames than those of the table of positions.
std::vector<Value> whisper_encoder_states(const Scope& s, const WhisperEncoderConfig& c, Value features,
                                          const op::AttentionMask& mask = {});

/// The norm behind the layers. Key: layer_norm.
Value whisper_encoder_norm(const Scope& s, Value x);

}  // namespace onnxport::models
