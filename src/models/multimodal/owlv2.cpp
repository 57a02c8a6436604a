// OWLv2: OWL-ViT, trained with more boxes. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/owlv2/modeling_owlv2.py
#include "models/multimodal/common/towers/owl.h"

namespace onnxport::models {

void register_owlv2(TasksManager& tasks) { register_owl(tasks, "owlv2"); }

}  // namespace onnxport::models
