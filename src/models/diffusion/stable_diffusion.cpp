// Stable Diffusion 1 and 2: one CLIP model, a U-shaped network and an autoencoder. Original:
// https://github.com/huggingface/diffusers/tree/v0.42.1/src/diffusers/pipelines/stable_diffusion
#include "models/diffusion/common/pipeline.h"

namespace onnxport::models {

void register_stable_diffusion(TasksManager& tasks) {
  register_pipelines(tasks, {.name = "stable-diffusion",
                             .classes = {"StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline",
                                         "StableDiffusionInpaintPipeline"}});
}

}  // namespace onnxport::models
