// The image tower of CLIP, with a projection if `architectures` asks for one. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/clip/modeling_clip.py
#include "models/multimodal/common/towers/clip_encoders.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

class ClipVisionModelOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return false; }
  AxesByName outputs() const override {
    const Axes rows = {{0, "batch_size"}};
    if (is_projected(config())) return {{"image_embeds", rows}, {"last_hidden_state", rows}};
    return {{"last_hidden_state", rows}, {"pooler_output", rows}};
  }
};

EncoderStates encode(const Inputs& inputs, const Model& model, const Component&) {
  return encode_clip_images(inputs, model);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  const Scope root = model.scope();
  const EncoderStates image = encode(inputs, model, component);
  if (!is_projected(c)) return {{"last_hidden_state", image.hidden}, {"pooler_output", image.pooled}};
  const nn::Linear project(root / "visual_projection", c.integer("hidden_size"), c.integer("projection_dim"),
                           false);
  return {{"image_embeds", project(image.pooled)}, {"last_hidden_state", image.hidden}};
}

}  // namespace

void register_clip_vision_model(TasksManager& tasks) {
  tasks.register_model<ClipVisionModelOnnxConfig>({.model_type = "clip_vision_model",
                                                   .tasks = {"feature-extraction"},
                                                   .forward = forward,
                                                   .ignorable_keys = {"*.embeddings.position_ids"},
                                                   .roles = {.vision_tower = EncoderRole{encode}}});
}

}  // namespace onnxport::models
