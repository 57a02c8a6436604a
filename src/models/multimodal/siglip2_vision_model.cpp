// The image tower of SigLIP 2: rows of patches of images of any size, whose positions are resized for each
// image. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/siglip2/modeling_siglip2.py
#include <fmt/format.h>

#include <vector>

#include "models/multimodal/common/patches/padded_patches.h"
#include "models/multimodal/common/patches/resized_positions.h"
#include "models/multimodal/common/towers/siglip.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/pre_norm_encoder.h"

namespace onnxport::models {
namespace {

struct Config : TowerConfig {
  std::int64_t patch_width, side;  // numbers of one patch, places of the table on a side

  explicit Config(const PretrainedConfig& c)
      : TowerConfig(c),
        patch_width(c.integer("num_channels") * c.integer("patch_size") * c.integer("patch_size")),
        side(1) {
    const std::int64_t places = c.integer("num_patches");
    while (side * side < places && side < (std::int64_t{1} << 30)) ++side;
    if (side * side == places && patch_width > 0) return;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: num_patches is {} and a patch has {} numbers, expected a square and at "
                    "least one number",
                    c.origin(), places, patch_width));
  }
};

class Siglip2VisionModelOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  AxesByName inputs() const override {
    const Axes patches = {{0, "batch_size"}, {1, "num_patches"}};
    return {{"pixel_values", patches},
            {"pixel_attention_mask", patches},
            {"spatial_shapes", {{0, "batch_size"}}}};
  }
  DummyInputGenerators dummy_input_generators() const override {
    return {std::make_shared<const DummyPaddedPatchGenerator>(1, Config(config().unaccounted()).patch_width)};
  }
};

EncoderStates encode(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope s = model.scope().base_model("vision_model");
  const Scope e = s / "embeddings";
  const Value patches = inputs["pixel_values"];
  Value x = nn::Linear(e / "patch_embedding", c.patch_width, c.hidden_size)(patches);
  {
    const Scope p = e / "position_embedding";
    const ModulePath at(x, p.path());
    const Weight table = p.weight("weight", {c.side * c.side, c.hidden_size});
    x = op::add(x, resized_positions(table, c.side, inputs["spatial_shapes"], patches.dim(1)));
  }
  const op::AttentionMask mask = nn::padding_mask(inputs["pixel_attention_mask"]);
  const nn::PreNormEncoder encoder(s / "encoder" / "layers", c.num_hidden_layers, c.layer());
  const std::vector<Value> states = encoder.states(x, mask);
  const Value hidden = nn::LayerNorm(s / "post_layernorm", c.hidden_size, c.layer_norm_eps)(states.back());
  if (!config.flag("vision_use_head", true)) return {hidden, {}, states};
  return {hidden, pool_siglip_patches(s / "head", c, hidden, mask), states};
}

}  // namespace

void register_siglip2_vision_model(TasksManager& tasks) {
  tasks.register_model<Siglip2VisionModelOnnxConfig>(
      {.model_type = "siglip2_vision_model", .roles = {.vision_tower = EncoderRole{encode}}});
}

}  // namespace onnxport::models
