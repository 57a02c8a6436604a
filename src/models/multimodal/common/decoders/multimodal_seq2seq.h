/// Encoder-decoders of text whose encoder also reads the features of images.
///
/// An export has `vision_encoder` and `embed_tokens`, as other models that see, and the files of an
/// encoder-decoder: `encoder_model`, `decoder_model` and, with a past, `decoder_with_past_model` and
/// `decoder_model_merged`. Encoder and decoder take vectors, `inputs_embeds`.
#pragma once

#include <memory>
#include <string_view>

#include "models/multimodal/common/decoders/multimodal_decoder.h"

namespace onnxport::models {

/// Whether a type of language model is an encoder-decoder that takes vectors.
bool is_seq2seq_type(std::string_view model_type);

/// The components of such a model. The options name vision_encoder or embed_tokens, or have the behavior of
/// encoder or decoder.
class MultimodalSeq2SeqOnnxConfig : public OnnxSeq2SeqConfigWithPast {
 public:
  using OnnxSeq2SeqConfigWithPast::OnnxSeq2SeqConfigWithPast;
  std::string part() const override;
  void describe(ExportPlan& plan, const PlanRequest& request) const override;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  std::vector<StateSpec> states() const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
  ImageSizes image_sizes() const override { return encodes() ? images()->image_sizes() : ImageSizes(); }

 protected:
  /// The class of vision_encoder.
  virtual std::shared_ptr<const OnnxConfig> images() const = 0;
  /// The configuration of the language model, with no accounting.
  virtual PretrainedConfig text_config() const = 0;

 private:
  bool encodes() const { return part() == kVisionEncoder; }
  /// The class of the language model, for the same behavior.
  std::shared_ptr<const OnnxConfig> language() const;
};

/// The outputs of a component but vision_encoder. `text`: the configuration of the language model, whose keys
/// are below language_model. Throws ExportError(unsupported) for a type that does not take vectors.
NamedValues forward_multimodal_seq2seq(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                                       const Component& component, const PretrainedConfig& text);

}  // namespace onnxport::models
