// FLUX.1: CLIP, T5, a transformer and an autoencoder. Original:
// https://github.com/huggingface/diffusers/tree/v0.42.1/src/diffusers/pipelines/flux
#include "models/diffusion/common/pipeline.h"

namespace onnxport::models {

void register_flux(TasksManager& tasks) {
  register_pipelines(
      tasks, {.name = "flux", .classes = {"FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"}});
}

}  // namespace onnxport::models
