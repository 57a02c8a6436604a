// Stable Diffusion XL and its refiner: up to two CLIP models, a U-shaped network and an autoencoder.
// Original: https://github.com/huggingface/diffusers/tree/v0.42.1/src/diffusers/pipelines/stable_diffusion_xl
#include "models/diffusion/common/pipeline.h"

namespace onnxport::models {

void register_stable_diffusion_xl(TasksManager& tasks) {
  register_pipelines(tasks, {.name = "stable-diffusion-xl",
                             .classes = {"StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline",
                                         "StableDiffusionXLInpaintPipeline"},
                             .text = {.output = TextOutput::all}});
}

}  // namespace onnxport::models
