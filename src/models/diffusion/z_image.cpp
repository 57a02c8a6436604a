// Z-Image: Qwen3, a transformer and an autoencoder. Original:
// https://github.com/huggingface/diffusers/tree/v0.42.1/src/diffusers/pipelines/z_image
#include "models/diffusion/common/pipeline.h"

namespace onnxport::models {

void register_z_image(TasksManager& tasks) {
  register_pipelines(tasks, {.name = "z-image",
                             .classes = {"ZImagePipeline", "ZImageImg2ImgPipeline", "ZImageInpaintPipeline"},
                             .text = {.input = TextInput::masked, .output = TextOutput::last_but_one}});
}

}  // namespace onnxport::models
