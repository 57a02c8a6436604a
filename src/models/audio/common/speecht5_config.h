/// Interface of SpeechT5 as text to speech: an encoder, decoders, and the vocoder.
#pragma once

#include <string>

#include "models/common/definition.h"

namespace onnxport::models {

/// encoder_model, decoder_model, decoder_with_past_model, decoder_model_merged and
/// decoder_postnet_and_vocoder. There is one text at a time.
class SpeechT5OnnxConfig : public OnnxSeq2SeqConfigWithPast {
 public:
  explicit SpeechT5OnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options,
                              std::string part = {})
      : OnnxSeq2SeqConfigWithPast(std::move(config), std::move(task), std::move(options)),
        part_(std::move(part)) {}

  std::string part() const override { return part_.empty() ? OnnxSeq2SeqConfigWithPast::part() : part_; }
  std::vector<std::string> variants() const override { return {"default", "with-past", "without-past"}; }
  void describe(ExportPlan& plan, const PlanRequest& request) const override;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  /// The list calls an axis of the cache batch_size, but it is 1; and each call adds one frame to the cache.
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;

 private:
  std::string part_;
};

/// The checkpoint of the vocoder: the folder that `vocoder` names, or `vocoder` inside the model's own.
struct Vocoder {
  Scope scope;
  PretrainedConfig config;
  /// Throws ExportError(unsupported) if there is none.
  explicit Vocoder(const Model& model);
};

}  // namespace onnxport::models
