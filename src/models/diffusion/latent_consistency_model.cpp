// Latent consistency models: Stable Diffusion in a few steps, with the guidance as a condition. Original:
// https://github.com/huggingface/diffusers/tree/v0.42.1/src/diffusers/pipelines/latent_consistency_models
#include "models/diffusion/common/pipeline.h"

namespace onnxport::models {

void register_latent_consistency_model(TasksManager& tasks) {
  register_pipelines(
      tasks, {.name = "latent-consistency",
              .classes = {"LatentConsistencyModelPipeline", "LatentConsistencyModelImg2ImgPipeline"}});
}

}  // namespace onnxport::models
