// Grounding DINO. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/grounding_dino/modeling_grounding_dino.py
#include "models/vision/common/grounding_dino.h"

namespace onnxport::models {

void register_grounding_dino(TasksManager& tasks) {
  register_grounding_dino_type(tasks, "grounding-dino", Contrast::product);
}

}  // namespace onnxport::models
