// mT5: T5 with other defaults. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mt5/modeling_mt5.py
#include "models/common/definition.h"
#include "models/encoder_decoders/common/t5.h"

namespace onnxport::models {

void register_mt5(TasksManager& tasks) {
  register_t5_like(tasks, {.model_type = "mt5", .forward = forward_t5});
}

}  // namespace onnxport::models
