/// Parakeet's encoder (Fast Conformer; Rekesh et al. 2023), and what its models share.
#pragma once

#include <cstdint>
#include <string>

#include "models/audio/common/feature_config.h"
#include "onnxport/nn/conformer.h"

namespace onnxport::models {

/// Throws ExportError(bad_config | unsupported).
struct ParakeetConfig {
  explicit ParakeetConfig(const PretrainedConfig& config);

  std::int64_t hidden_size, layers, intermediate_size, mel_bins;
  std::int64_t channels, kernel, stride, convolutions;  ///< of the subsampling
  std::string activation;
  bool bias;  ///< of attention and feed-forward
  double input_scale;
  op::NoKeys no_keys;  ///< what a frame of padding attends to
  nn::ConformerAttentionParameters attention;
  nn::ConformerConvParameters convolution;

  nn::ConformerLayer layer(const Scope& s) const;
};

struct ParakeetStates {
  Value hidden;        ///< [B, L', hidden_size]
  Value lengths = {};  ///< int64 [B]: the real ones; absent if all are
};

/// Features [B, L, mel_bins]; `lengths` int64 [B]: the first frames that are real; absent: all are. Keys:
/// subsampling.{layers.{i}, linear}, layers.{i}.
ParakeetStates encode_parakeet(const Scope& s, const ParakeetConfig& c, Value features, Value lengths);

/// Projects each state to logits. Keys: weight [out, in, 1], bias.
Value ctc_head(const Scope& s, Value hidden, std::int64_t width, std::int64_t vocab_size);

/// The encoder's configuration is the whole one, or at a key.
class ParakeetOnnxConfig : public FeatureEncoderOnnxConfig {
 public:
  using FeatureEncoderOnnxConfig::FeatureEncoderOnnxConfig;
  std::int64_t feature_size() const override;
};

/// The configuration of the encoder in a model.
PretrainedConfig parakeet_encoder_config(const PretrainedConfig& config);

}  // namespace onnxport::models
