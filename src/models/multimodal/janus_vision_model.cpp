// Janus' vision tower. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/janus/modeling_janus.py
#include <fmt/format.h>

#include <vector>

#include "models/multimodal/common/towers/clip.h"
#include "onnxport/error.h"
#include "onnxport/nn/pre_norm_encoder.h"

namespace onnxport::models {
namespace {

class JanusVisionOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return false; }
};

ImageTowerConfig tower_config(const PretrainedConfig& c) {
  const double ratio = c.real("mlp_ratio");
  const bool sensible = ratio > 0 && ratio <= 1024;  // not a number is not
  if (!sensible) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: mlp_ratio is {}, expected a positive number up to 1024", c.origin(), ratio));
  }
  const auto inner = static_cast<std::int64_t>(static_cast<double>(c.integer("hidden_size")) * ratio);
  return ImageTowerConfig(c.settled("intermediate_size", std::to_string(inner)));
}

EncoderStates encode(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& config = model.config();
  const ImageTowerConfig c = tower_config(config);
  if (config.flag("use_qk_norm")) {
    throw ExportError(ErrorCode::unsupported,
                      config.origin() + ": use_qk_norm is true, with which the original cannot run");
  }
  config.harmless({"projection_dim", "depth", "num_image_tokens"});  // of the aligner; a count
  nn::EncoderLayerParameters layer = c.layer();
  layer.attention.output = "projection_layer";
  layer.attention.bias = config.flag("attention_bias") ? nn::QkvBias::all : nn::QkvBias::none;
  const Scope s = model.scope(), e = s / "embeddings";
  Value x = embed_patches(e, c, inputs["pixel_values"], true);
  {
    const ModulePath at(x, e.path());
    const Weight positions = (e / "position_embedding").weight("weight", {c.patches(), c.hidden_size});
    x = op::add(x, x.graph().weight(positions));
  }
  const std::vector<Value> states =
      nn::PreNormEncoder(s / "encoder" / "layers", c.num_hidden_layers, layer).states(x);
  return {nn::LayerNorm(s / "post_layernorm", c.hidden_size, c.layer_norm_eps)(states.back()), {}, states};
}

}  // namespace

void register_janus_vision_model(TasksManager& tasks) {
  tasks.register_model<JanusVisionOnnxConfig>(
      {.model_type = "janus_vision_model", .roles = {.vision_tower = EncoderRole{encode}}});
}

}  // namespace onnxport::models
