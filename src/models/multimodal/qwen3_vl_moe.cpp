// Qwen3-VL with mixtures of experts. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen3_vl_moe/modeling_qwen3_vl_moe.py
#include "models/common/definition.h"

namespace onnxport::models {

void register_qwen3_vl_moe(TasksManager& tasks) { tasks.register_alias("qwen3_vl_moe", "qwen3_vl"); }

}  // namespace onnxport::models
