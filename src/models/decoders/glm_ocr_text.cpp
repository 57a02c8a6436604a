// The language model of GLM-OCR: that of GLM-4.1V without biases. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/glm_ocr/modeling_glm_ocr.py
#include <string>

#include "models/common/definition.h"
#include "models/decoders/common/glm.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  // Layers that guess further tokens lie behind the others.
  const PretrainedConfig& c = model.config();
  const std::int64_t last = c.integer("num_hidden_layers");
  const std::int64_t further = c.integer("num_nextn_predict_layers", 0);
  for (std::int64_t i = last; i < last + further; ++i) {
    for (const char* layers : {"model.layers.", "model.language_model.layers."})
      model.scope().ignore(layers + std::to_string(i));
  }
  TextDecoderConfig text = glm4v_text_config(c);
  // An output layer in the file counts; the flag is that of the whole.
  text.tie_word_embeddings = !(model.scope() / "lm_head").stores("weight");
  return forward_text_decoder(inputs, model, component, text, glm4_blocks(text));
}

}  // namespace

void register_glm_ocr_text(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "glm_ocr_text",
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .roles = {.language_model = LanguageModelRole{}}});
}

}  // namespace onnxport::models
