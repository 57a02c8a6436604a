/// Shared parts of raw speech encoders: wav2vec 2.0 and its relatives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/graph.h"
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

/// Reads tdnn_dim, tdnn_kernel, tdnn_dilation and xvector_output_dim. Throws ExportError(bad_config) for
/// lists of different lengths.
nn::XVectorParameters xvector_parameters(const PretrainedConfig& config);

/// An encoder with wav2vec 2.0's adapter behind it, if config.json asks for one, and a head for x-vectors.
/// Also reads add_adapter, output_hidden_size,
/// num_adapter_layers, adapter_kernel_size, adapter_stride and the settings of that head.
struct AdaptedSpeechConfig : SpeechEncoderConfig {
  explicit AdaptedSpeechConfig(const PretrainedConfig& config);

  std::optional<nn::ConvAdapterParameters> adapter;
};

/// Throws ExportError(unsupported) if add_adapter is true: for types whose original has no adapter.
void refuse_adapter(const PretrainedConfig& config);

/// Keys that only training and pretraining use: the mask of the base model, the quantizer with its
/// projections, the loss of x-vectors.
std::vector<std::string> speech_training_keys(const std::string& base_model);

/// Samples [B, S] -> features [B, L, hidden_size]. Keys: feature_extractor, feature_projection.
/// `projection_eps`: of the norm before the projection; absent: none.
Value speech_features(const Scope& s, const SpeechEncoderConfig& c, Value samples,
                      std::optional<double> projection_eps);

/// Samples [B, S] -> the embeddings and each layer's result [B, L, hidden_size]. Keys: those of
/// speech_features, encoder.
std::vector<Value> speech_states(const Scope& s, const SpeechEncoderConfig& c, Value samples,
                                 std::optional<double> projection_eps);

/// Outputs of a task for the `states` of all layers, with the adapter below `base`. Throws
/// ExportError(unsupported) for classification behind an adapter, which the originals refuse.
NamedValues build_adapted_speech_task(const Model& model, const std::string& task, const Scope& base,
                                      const AdaptedSpeechConfig& c, const std::vector<Value>& states);

/// In speech recognition, the name of the length of `logits` is the formula of the convolutions.
class SpeechOnnxConfig : public AudioOnnxConfig {
 public:
  using AudioOnnxConfig::AudioOnnxConfig;
  AxesByName outputs() const override;
};

}  // namespace onnxport::models
