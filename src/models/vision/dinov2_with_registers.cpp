// DINOv2 with registers: learned tokens behind the class token. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/dinov2_with_registers/modeling_dinov2_with_registers.py
#include "models/vision/common/dinov2.h"

namespace onnxport::models {

void register_dinov2_with_registers(TasksManager& tasks) {
  constexpr const char* type = "dinov2_with_registers";
  tasks.register_model<VisionOnnxConfig>(dinov2_definition(type, {.base_model = type, .registers = true}));
}

}  // namespace onnxport::models
