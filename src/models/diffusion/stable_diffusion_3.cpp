// Stable Diffusion 3 and 3.5: two CLIP models, T5, a transformer and an autoencoder. Original:
// https://github.com/huggingface/diffusers/tree/v0.42.1/src/diffusers/pipelines/stable_diffusion_3
#include "models/diffusion/common/pipeline.h"

namespace onnxport::models {

void register_stable_diffusion_3(TasksManager& tasks) {
  register_pipelines(tasks, {.name = "stable-diffusion-3",
                             .classes = {"StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline",
                                         "StableDiffusion3InpaintPipeline"},
                             .text = {.output = TextOutput::all}});
}

}  // namespace onnxport::models
