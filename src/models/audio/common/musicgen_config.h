/// Interface of MusicGen: five components and merged decoders.
#pragma once

#include <cstdint>
#include <string>

#include "models/common/definition.h"

namespace onnxport::models {

/// text_encoder, encodec_decode, decoder_model, decoder_with_past_model, build_delay_pattern_mask. Each row
/// of the batch has one row of ids for every codebook.
class MusicgenOnnxConfig : public OnnxSeq2SeqConfigWithPast {
 public:
  explicit MusicgenOnnxConfig(PretrainedConfig config, std::string task, OnnxConfigOptions options,
                              std::string part = {})
      : OnnxSeq2SeqConfigWithPast(std::move(config), std::move(task), std::move(options)),
        part_(std::move(part)) {}

  /// "decoder", or the name of another component.
  std::string part() const override { return part_.empty() ? OnnxSeq2SeqConfigWithPast::part() : part_; }
  std::vector<std::string> variants() const override { return {"default", "text-conditional-with-past"}; }
  void describe(ExportPlan& plan, const PlanRequest& request) const override;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  /// Rows of ids are those of the batch times the codebooks.
  Dim axis_length(std::string_view tensor, const std::string& symbol) const override;
  NormalizedConfig normalized_config() const override;
  DummyInputGenerators dummy_input_generators() const override;
  std::int64_t encoder_width() const override;

 private:
  std::int64_t codebooks() const;
  std::string part_;
};

/// The type of the text encoder of this configuration.
std::shared_ptr<const ModelDefinition> musicgen_text_encoder(const PretrainedConfig& config);

}  // namespace onnxport::models
