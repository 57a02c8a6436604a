// SAM 2, for images: Hiera as image encoder, points and boxes as prompts, and a mask decoder. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/sam2/modeling_sam2.py
#include "models/vision/common/sam2.h"

namespace onnxport::models {

void register_sam2(TasksManager& tasks) {
  tasks.register_model<Sam2OnnxConfig>(
      sam2_definition("sam2", {.vision_type = "sam2_vision_model", .encode = encode_sam2_image}));
}

}  // namespace onnxport::models
