// The image tower of SigLIP. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/siglip/modeling_siglip.py
#include <vector>

#include "models/multimodal/common/towers/siglip.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/pre_norm_encoder.h"

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

EncoderStates encode(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& config = model.config();
  const Scope s = model.scope().base_model("vision_model");
  const ImageTowerConfig c(config);
  const Scope e = s / "embeddings";
  Value x = embed_patches(e, c, inputs["pixel_values"], true);
  {
    const ModulePath at(x, e.path());
    const Weight positions = (e / "position_embedding").weight("weight", {c.patches(), c.hidden_size});
    x = op::add(x, x.graph().weight(positions));
  }
  const nn::PreNormEncoder encoder(s / "encoder" / "layers", c.num_hidden_layers, c.layer());
  const std::vector<Value> states = encoder.states(x);
  const Value hidden = nn::LayerNorm(s / "post_layernorm", c.hidden_size, c.layer_norm_eps)(states.back());
  if (!config.flag("vision_use_head", true)) return {hidden, {}, states};
  return {hidden, pool_siglip_patches(s / "head", c, hidden), states};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const EncoderStates image = encode(inputs, model, component);
  NamedValues outputs = {{"last_hidden_state", image.hidden}};
  if (image.pooled) outputs.emplace_back("pooler_output", image.pooled);
  return outputs;
}

}  // namespace

void register_siglip_vision_model(TasksManager& tasks) {
  tasks.register_model<SiglipVisionModelOnnxConfig>({.model_type = "siglip_vision_model",
                                                     .tasks = {"feature-extraction"},
                                                     .forward = forward,
                                                     .ignorable_keys = {"*.embeddings.position_ids"},
                                                     .roles = {.vision_tower = EncoderRole{encode}}});
}

}  // namespace onnxport::models
