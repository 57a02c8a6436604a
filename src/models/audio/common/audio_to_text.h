/// Encoder-decoders from audio features with any number of frames.
#pragma once

#include <cstdint>

#include "models/common/definition.h"

namespace onnxport::models {

/// input_features [batch_size, encoder_sequence_length, features] of the encoder, with an attention_mask if
/// has_encoder_mask(). The encoder's states have a length of their own; their mask, an input of the decoder,
/// still has that of the features.
class FramesToTextOnnxConfig : public OnnxSeq2SeqConfigWithPast {
 public:
  using OnnxSeq2SeqConfigWithPast::OnnxSeq2SeqConfigWithPast;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  DummyInputGenerators dummy_input_generators() const override;
  /// The features of a frame.
  virtual std::int64_t feature_size() const = 0;
};

}  // namespace onnxport::models
