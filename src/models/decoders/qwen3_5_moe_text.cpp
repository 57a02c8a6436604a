// Qwen3.5 with a mixture of experts, its language model alone. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/qwen3_5_moe/modeling_qwen3_5_moe.py
#include "models/common/definition.h"
#include "models/decoders/common/qwen_hybrid.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {

void register_qwen3_5_moe_text(TasksManager& tasks) {
  tasks.register_model<QwenHybridOnnxConfig>({.model_type = "qwen3_5_moe_text",
                                              .tasks = nn::text_decoder_tasks({}),
                                              .forward = forward_qwen3_5_moe,
                                              .ignorable_keys = qwen3_5_ignorable_keys(),
                                              .key_names = qwen3_5_key_names()});
}

}  // namespace onnxport::models
