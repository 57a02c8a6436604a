// The language model of Qwen2-VL and Qwen2.5-VL: Qwen2 with positions of three axes. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen2_vl/modeling_qwen2_vl.py
#include "models/common/definition.h"
#include "models/decoders/common/layers.h"
#include "models/decoders/common/qwen.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  TextDecoderConfig c(model.config());
  usual_sections(c, {16, 24, 24});
  return forward_qwen2(inputs, model, component, std::move(c));
}

}  // namespace

void register_qwen2_vl_text(TasksManager& tasks) {
  ModelDefinition definition{.model_type = "qwen2_vl_text",
                             .forward = forward,
                             .key_names = tied("model.embed_tokens", "lm_head"),
                             .roles = {.language_model = LanguageModelRole{}}};
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(std::move(definition));
}

}  // namespace onnxport::models
