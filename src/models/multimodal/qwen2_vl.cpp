// Qwen2-VL: patches of images of any size, merged in squares, in front of Qwen2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen2_vl/modeling_qwen2_vl.py
#include "models/multimodal/common/decoders/qwen_vl.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-6;

struct Config : PatchTowerConfig {
  std::int64_t inner;
  std::string hidden_act;

  explicit Config(const PretrainedConfig& c)
      : PatchTowerConfig(c, c.integer("embed_dim", 1280)),
        inner(static_cast<std::int64_t>(static_cast<double>(hidden_size) * c.real("mlp_ratio", 4))),
        hidden_act(c.string("hidden_act", "quick_gelu")) {
    c.harmless({"in_chans", "spatial_patch_size", "initializer_range"});  // no keys of the class
  }
};

Value block(const Scope& s, const Config& c, Value x, const PatchAttention& attend) {
  const ModulePath at(x, s.path());
  const nn::LayerNorm before_attention(s / "norm1", c.hidden_size, kEps),
      before_mlp(s / "norm2", c.hidden_size, kEps);
  x = op::add(x, attend(s / "attn", before_attention(x)));
  const nn::Linear up(s / "mlp" / "fc1", c.hidden_size, c.inner),
      down(s / "mlp" / "fc2", c.inner, c.hidden_size);
  const Value wide = up(before_mlp(x));
  return op::add(x, down(nn::Activation(c.hidden_act)(wide)));
}

Value encode(const Inputs& inputs, const Model& model) {
  return encode_qwen2_vl(model.scope() / "visual", inputs, model.config().sub("vision_config"));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  return forward_qwen_vl(tasks, inputs, model, component, encode);
}

class Qwen2VlOnnxConfig : public QwenVlOnnxConfig {
 public:
  using QwenVlOnnxConfig::QwenVlOnnxConfig;

 protected:
  const char* grid_name() const override { return "grid_thw"; }
};

}  // namespace

Value encode_qwen2_vl(const Scope& s, const Inputs& inputs, const PretrainedConfig& vision_config) {
  const Config c(vision_config);
  const Value patches = inputs["pixel_values"];
  const PatchPlaces places = patch_places(inputs["grid_thw"], patches.dim(0), c.side);
  const PatchAttention attend(c, places, same_frame(places));
  Value x = embed_patch_rows(s / "patch_embed" / "proj", c, patches, false);
  for (std::int64_t i = 0; i < c.depth; ++i) x = block(s / "blocks" / i, c, x, attend);
  const Value normed = nn::LayerNorm(s / "merger" / "ln_q", c.hidden_size, kEps)(x);
  const std::int64_t out = vision_config.integer("hidden_size", 3584);
  return merge_patches(s / "merger" / "mlp", {"0", "2"}, c, normed, out);
}

void register_qwen2_vl(TasksManager& tasks) {
  register_multimodal_decoder<Qwen2VlOnnxConfig>(
      tasks, {.model_type = "qwen2_vl", .forward = bound(tasks, forward), .key_names = qwen_vl_key_names()});
}

}  // namespace onnxport::models
