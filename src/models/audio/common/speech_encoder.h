/// Shared parts of raw speech encoders: wav2vec 2.0 and its relatives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/nn/audio.h"
#include "onnxport/nn/audio_tasks.h"

namespace onnxport::models {

/// Reads conv_dim, conv_kernel, conv_stride, conv_bias, feat_extract_norm, feat_extract_activation,
/// num_conv_pos_embeddings, num_conv_pos_embedding_groups, do_stable_layer_norm, adapter_attn_dim, the sizes
/// of the encoder and those of the heads for recognition and classification.
struct SpeechEncoderConfig {
  explicit SpeechEncoderConfig(const PretrainedConfig& config);

  nn::FeatureEncoderParameters features;
  nn::SpeechEncoderParameters encoder;
  nn::SpeechHeadParameters heads;
  std::int64_t hidden_size;
  double layer_norm_eps;
};

/// Samples [B, S] -> the embeddings and each layer's result [B, L, hidden_size]. Keys: feature_extractor,
/// feature_projection, encoder. `projection_eps`: of the norm before the projection; absent: none.
std::vector<Value> speech_states(const Scope& s, const SpeechEncoderConfig& c, Value samples,
                                 std::optional<double> projection_eps);

/// In speech recognition, the name of the length of `logits` is the formula of the convolutions.
class SpeechOnnxConfig : public AudioOnnxConfig {
 public:
  using AudioOnnxConfig::AudioOnnxConfig;
  AxesByName outputs() const override;
};

}  // namespace onnxport::models
