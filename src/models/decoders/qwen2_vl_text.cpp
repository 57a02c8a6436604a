// The language model of Qwen2-VL and Qwen2.5-VL: Qwen2 with positions of three axes. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen2_vl/modeling_qwen2_vl.py
#include "models/common/definition.h"
#include "models/decoders/common/qwen.h"

namespace onnxport::models {

void register_qwen2_vl_text(TasksManager& tasks) {
  ModelDefinition definition{.model_type = "qwen2_vl_text",
                             .forward = forward_qwen2,
                             .key_names = tied("model.embed_tokens", "lm_head"),
                             .roles = {.language_model = LanguageModelRole{}}};
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(std::move(definition));
}

}  // namespace onnxport::models
