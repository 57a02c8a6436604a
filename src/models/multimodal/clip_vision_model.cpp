// The image tower of CLIP, with a projection if `architectures` asks for one. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/clip/modeling_clip.py
#include <vector>

#include "models/multimodal/common/clip.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/text_encoder.h"

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
  const PretrainedConfig& config = model.config();
  const Scope s = model.scope().base_model("vision_model");
  const Value pixel_values = inputs["pixel_values"];
  const ImageTowerConfig c(config);
  config.harmless({"projection_dim"});  // of the whole model
  Graph& graph = pixel_values.graph();
  const Scope e = s / "embeddings";
  const std::int64_t count = 1 + c.patches(), width = c.hidden_size;
  const Weight table = (e / "position_embedding").weight("weight", {count, width});
  const Weight class_token = e.weight("class_embedding", {width}).reshape({1, 1, width});
  Value x = embed_patches(e, c, pixel_values, false);
  {
    const ModulePath at(x, e.path());
    const Value first = op::expand(graph.weight(class_token), {x.dim(0), 1, width});
    x = op::concat({first, x}, 1);
    x = op::add(x, graph.weight(table));
  }
  x = nn::LayerNorm(s / "pre_layrnorm", width, c.layer_norm_eps)(x);
  const nn::PreNormEncoder encoder(s / "encoder" / "layers", c.num_hidden_layers, c.layer());
  const std::vector<Value> states = encoder.states(x);
  const Value hidden = states.back();
  const nn::LayerNorm norm(s / "post_layernorm", width, c.layer_norm_eps);
  const ModulePath at(hidden, s.path());
  return {hidden, norm(nn::first_token(hidden)), states};
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
