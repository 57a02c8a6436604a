// MM Grounding DINO: Grounding DINO with scaled similarities. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mm_grounding_dino/modeling_mm_grounding_dino.py
#include "models/vision/common/grounding_dino.h"

namespace onnxport::models {

void register_mm_grounding_dino(TasksManager& tasks) {
  register_grounding_dino_type(tasks, "mm-grounding-dino", Contrast::scaled);
}

}  // namespace onnxport::models
