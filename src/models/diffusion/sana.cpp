// Sana and Sana Sprint: Gemma 2, a transformer and an autoencoder of deep compression. Original:
// https://github.com/huggingface/diffusers/tree/v0.42.1/src/diffusers/pipelines/sana
#include "models/diffusion/common/pipeline.h"

namespace onnxport::models {

void register_sana(TasksManager& tasks) {
  register_pipelines(tasks, {.name = "sana",
                             .classes = {"SanaPipeline", "SanaSprintPipeline", "SanaSprintImg2ImgPipeline"},
                             .text = {.input = TextInput::masked}});
}

}  // namespace onnxport::models
