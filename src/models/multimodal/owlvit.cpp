// OWL-ViT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/owlvit/modeling_owlvit.py
#include "models/multimodal/common/towers/owl.h"

namespace onnxport::models {

void register_owlvit(TasksManager& tasks) { register_owl(tasks, "owlvit"); }

}  // namespace onnxport::models
