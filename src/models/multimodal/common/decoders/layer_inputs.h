/// Language models whose layers look at the tokens beside the vectors: embed_tokens hands per_layer_inputs
/// [batch_size, sequence_length, layers, width] to the decoder (Gemma 3n, Gemma 4). For clients that take
/// rows (kOfRows), it is [batch_size, sequence_length, layers * width].
#pragma once

#include <cstdint>

#include "models/multimodal/common/decoders/multimodal_decoder.h"

namespace onnxport::models {

struct LayerInputs {
  std::int64_t layers = 0;
  std::int64_t width = 0;  ///< 0: the layers do not look at the tokens
};

class LayerInputsOnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;
  DummyInputGenerators dummy_input_generators() const override;
  ImageSizes image_sizes() const override { return {}; }

 protected:
  virtual LayerInputs layer_inputs() const = 0;
  AxesByName token_extras() const override;
  NormalizedConfig encoder_normalized() const override { return NormalizedTextConfig(text_config()); }
};

/// The outputs of kEmbedding, from those of embed_tokens and the features among the inputs.
NamedValues embed_with_features(const PretrainedConfig& whole, const Inputs& inputs, NamedValues outputs);

}  // namespace onnxport::models
