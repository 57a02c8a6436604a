// Idefics 3: tiles of images with padding, squares of patches as one token, in front of a Llama. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/idefics3/modeling_idefics3.py
#include "models/multimodal/common/patches/padded_images.h"

namespace onnxport::models {
namespace {

class Idefics3OnnxConfig : public PaddedImagesOnnxConfig {
 public:
  using PaddedImagesOnnxConfig::PaddedImagesOnnxConfig;

 protected:
  std::int64_t image_step() const override {
    return PaddedImagesOnnxConfig::image_step() * square_side(config().unaccounted());
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  return forward_padded_images(tasks, inputs, model, component, "llama",
                               [&](const Inputs& in) { return shuffled_image_features(in, model); });
}

}  // namespace

void register_idefics3(TasksManager& tasks) {
  register_multimodal_decoder<Idefics3OnnxConfig>(
      tasks,
      {.model_type = "idefics3", .forward = bound(tasks, forward), .key_names = padded_images_key_names()});
}

}  // namespace onnxport::models
