// SigLIP: the towers of CLIP without masks, a class token and projections. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/siglip/modeling_siglip.py
#include "models/multimodal/common/towers/siglip.h"

namespace onnxport::models {

void register_siglip(TasksManager& tasks) {
  tasks.register_model<SiglipOnnxConfig>(
      {.model_type = "siglip",
       .tasks = {"feature-extraction", "zero-shot-image-classification"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& part) { return forward_siglip(tasks, inputs, model, part); },
       .ignorable_keys = {"*.embeddings.position_ids"}});
}

}  // namespace onnxport::models
