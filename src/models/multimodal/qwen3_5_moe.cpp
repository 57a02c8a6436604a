// Qwen3.5 with mixtures of experts. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/qwen3_5_moe/modeling_qwen3_5_moe.py
#include "models/common/definition.h"

namespace onnxport::models {

void register_qwen3_5_moe(TasksManager& tasks) { tasks.register_alias("qwen3_5_moe", "qwen3_5"); }

}  // namespace onnxport::models
