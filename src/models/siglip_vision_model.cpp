// The image tower of SigLIP. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/siglip/modeling_siglip.py
#include "models/clip.h"

namespace onnxport::models {
namespace {

class SiglipVisionModelOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return false; }
  AxesByName outputs() const override {
    AxesByName names = {{"last_hidden_state", {{0, "batch_size"}}}};
    if (config().unaccounted().flag("vision_use_head", true))
      names.push_back({"pooler_output", {{0, "batch_size"}}});
    return names;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component&) {
  const TowerOutput image =
      siglip_vision(model.scope() / "vision_model", model.config(), inputs["pixel_values"]);
  NamedValues outputs = {{"last_hidden_state", image.hidden}};
  if (image.pooled) outputs.emplace_back("pooler_output", image.pooled);
  return outputs;
}

}  // namespace

void register_siglip_vision_model(TasksManager& tasks) {
  tasks.register_model<SiglipVisionModelOnnxConfig>({.model_type = "siglip_vision_model",
                                                     .tasks = {"feature-extraction"},
                                                     .forward = forward,
                                                     .ignorable_keys = {"*.embeddings.position_ids"}});
}

}  // namespace onnxport::models
