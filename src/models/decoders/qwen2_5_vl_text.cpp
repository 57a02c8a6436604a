// The language model of Qwen2.5-VL. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen2_5_vl/modeling_qwen2_5_vl.py
#include "models/common/definition.h"

namespace onnxport::models {

void register_qwen2_5_vl_text(TasksManager& tasks) {
  tasks.register_alias("qwen2_5_vl_text", "qwen2_vl_text");
}

}  // namespace onnxport::models
