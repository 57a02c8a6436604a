// The language model of GLM-4.1V: GLM-4-0414 with positions of three axes. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/glm4v/modeling_glm4v.py
#include "models/common/definition.h"
#include "models/decoders/common/glm.h"
#include "models/decoders/common/layers.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  TextDecoderConfig c = glm4v_text_config(model.config());
  c.attention_bias = true;
  return forward_text_decoder(inputs, model, component, c, glm4_blocks(c));
}

}  // namespace

TextDecoderConfig glm4v_text_config(const PretrainedConfig& config) {
  TextDecoderConfig c(config);
  usual_sections(c, {8, 12, 12});
  return c;
}

void register_glm4v_text(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "glm4v_text",
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .roles = {.language_model = LanguageModelRole{}}});
}

}  // namespace onnxport::models
