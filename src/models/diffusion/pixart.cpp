// PixArt-Alpha and PixArt-Sigma: T5, a transformer and an autoencoder. Original:
// https://github.com/huggingface/diffusers/tree/v0.42.1/src/diffusers/pipelines/pixart_alpha
#include "models/diffusion/common/pipeline.h"

namespace onnxport::models {

void register_pixart(TasksManager& tasks) {
  register_pipelines(tasks, {.name = "pixart",
                             .classes = {"PixArtAlphaPipeline", "PixArtSigmaPipeline"},
                             .text = {.input = TextInput::masked}});
}

}  // namespace onnxport::models
