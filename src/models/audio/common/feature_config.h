/// Encoders of audio features with any number of frames.
#pragma once

#include <cstdint>

#include "models/common/definition.h"

namespace onnxport::models {

/// input_features [batch_size, sequence_length, features] and, unless it takes no mask, the attention_mask
/// [batch_size, sequence_length] of its frames.
class FeatureEncoderOnnxConfig : public AudioOnnxConfig {
 public:
  using AudioOnnxConfig::AudioOnnxConfig;
  AxesByName inputs() const override;
  DummyInputGenerators dummy_input_generators() const override;
  virtual bool takes_mask() const { return true; }
  /// The features of a frame.
  virtual std::int64_t feature_size() const = 0;
};

}  // namespace onnxport::models
