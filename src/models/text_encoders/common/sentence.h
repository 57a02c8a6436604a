/// What the definitions of Sentence Transformers share.
#pragma once

#include <functional>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/modules.h"

namespace onnxport::models {

/// input_ids and attention_mask to token_embeddings and sentence_embedding.
class SentenceOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override { return text_inputs({"input_ids", "attention_mask"}); }
  AxesByName outputs() const override;
};

/// ModelDefinition::parts: the type of the first module, which is the whole checkpoint.
std::function<std::vector<ModelPart>(const PretrainedConfig& config)> sentence_part(TasksManager& tasks);

/// Refuses a key that may have only one value here: throws ExportError(unsupported).
void expect(const PretrainedConfig& config, std::string_view key, const std::string& only);

/// Checks the arguments of the first module in its sentence_*_config.json. Those of the tokenizer do not
/// concern the graph. Throws ExportError(unsupported).
void check_first_module(const SentenceModule& module, const Model& model);

}  // namespace onnxport::models
