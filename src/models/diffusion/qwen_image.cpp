// Qwen-Image: Qwen2.5-VL without its tower, a transformer and an autoencoder. Original:
// https://github.com/huggingface/diffusers/tree/v0.42.1/src/diffusers/pipelines/qwenimage
#include "models/diffusion/common/pipeline.h"

namespace onnxport::models {

void register_qwen_image(TasksManager& tasks) {
  register_pipelines(
      tasks, {.name = "qwen-image",
              .classes = {"QwenImagePipeline", "QwenImageImg2ImgPipeline", "QwenImageInpaintPipeline"},
              .text = {.input = TextInput::masked}});
}

}  // namespace onnxport::models
