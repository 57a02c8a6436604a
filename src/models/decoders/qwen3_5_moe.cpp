// Qwen3.5 with a mixture of experts and its vision tower, which these tasks leave out. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/qwen3_5_moe/modeling_qwen3_5_moe.py
#include "models/common/definition.h"
#include "models/decoders/common/qwen_hybrid.h"

namespace onnxport::models {

void register_qwen3_5_moe(TasksManager& tasks) {
  tasks.register_model<QwenHybridOnnxConfig>({.model_type = "qwen3_5_moe",
                                              .tasks = {"text-generation", "text-generation-with-past"},
                                              .forward = forward_qwen3_5_moe,
                                              .ignorable_keys = qwen3_5_ignorable_keys(),
                                              .key_names = qwen3_5_key_names()});
}

}  // namespace onnxport::models
