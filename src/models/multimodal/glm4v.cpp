// GLM-4.1V, and GLM-OCR: a tower over patches that are merged by a convolution and a gated layer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/glm4v/modeling_glm4v.py
#include "models/multimodal/common/decoders/qwen_vl.h"
#include "models/multimodal/common/patches/sampled_positions.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

// Of GLM-4.1V, whose vision_config has the model_type of the whole.
PretrainedConfig with_usual_sizes(PretrainedConfig c) {
  for (const auto& [key, usual] : {std::pair("depth", 24), {"num_heads", 12}})
    if (!c.has(key)) c = c.settled(key, std::to_string(usual));
  return c;
}

struct Config : PatchTowerConfig {
  std::int64_t out, inner, merged;  ///< widths of the tokens, of feed-forwards, and of that of the tokens
  std::int64_t table = 0;           ///< places on a side of the table of positions; 0: there is none
  double eps;
  std::string hidden_act;
  PatchAttentionOptions attention;
  bool mlp_bias = false;

  Config(const PretrainedConfig& c, bool ocr)
      : PatchTowerConfig(c, c.integer("hidden_size", 1536)),
        out(c.integer("out_hidden_size", 4096)),
        inner(ocr ? c.integer("intermediate_size") : out),
        merged(ocr ? out * channels : c.integer("intermediate_size", 13696)),
        eps(c.real("rms_norm_eps", 1e-5)),
        hidden_act(c.string("hidden_act", "silu")),
        attention{.qkv_bias = c.flag("attention_bias", false), .proj_bias = false} {
    c.harmless({"initializer_range", "attention_dropout"});
    if (!ocr) {
      table = places_on_side(c, c.integer("image_size", 336));
      return;
    }
    c.harmless({"image_size"});
    attention.proj_bias = mlp_bias = attention.qkv_bias;
    attention.head_norm_eps = eps;
  }

  nn::RmsNorm norm(const Scope& s) const { return {s, hidden_size, {.eps = eps}}; }
};

Config tower_of(const PretrainedConfig& whole) {
  const PretrainedConfig vision = whole.sub("vision_config");
  const bool ocr = whole.model_type() == "glm_ocr";
  return {ocr ? vision.as("glm_ocr_vision") : with_usual_sizes(vision), ocr};
}

Value block(const Scope& s, const Config& c, Value x, const PatchAttention& attend) {
  const ModulePath at(x, s.path());
  const nn::RmsNorm before_attention = c.norm(s / "norm1"), before_mlp = c.norm(s / "norm2");
  x = op::add(x, attend(s / "attn", before_attention(x)));
  const nn::GatedMlp mlp(s / "mlp", {.hidden_size = c.hidden_size,
                                     .intermediate_size = c.inner,
                                     .activation = c.hidden_act,
                                     .bias = c.mlp_bias});
  return op::add(x, mlp(before_mlp(x)));
}

// Squares of patches lie side by side, so the convolution over them is a linear layer: [N, H] -> [N / side^2,
// out].
Value downsample(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t square = c.side * c.side * c.hidden_size;
  const Weight kernel = s.weight("weight", {c.out, c.hidden_size, c.side, c.side});
  const Weight rows = kernel.permute({0, 2, 3, 1}).reshape({c.out, square});
  const Value squares = op::reshape(x, {c.squares_of(x.dim(0)), square});
  return nn::Linear(s.path(), rows, s.weight("bias", {c.out}))(squares);
}

Value merge(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const Value projected = nn::Linear(s / "proj", c.out, c.out, false)(x);
  const nn::LayerNorm norm(s / "post_projection_norm", c.out, 1e-5);
  const nn::GatedMlp mlp(s,
                         {.hidden_size = c.out, .intermediate_size = c.merged, .activation = c.hidden_act});
  return mlp(op::gelu(norm(projected)));
}

Value encode(const Inputs& inputs, const Model& model) {
  const Config c = tower_of(model.config());
  const Scope s = model.scope() / "visual";
  const Value patches = inputs["pixel_values"], grid = inputs["image_grid_thw"];
  const PatchPlaces places = patch_places(grid, patches.dim(0), c.side);
  const PatchAttention attend(c, places, same_frame(places), c.attention);
  Value x = embed_patch_rows(s / "patch_embed" / "proj", c, patches, true);
  if (c.table > 0) {
    x = c.norm(s / "post_conv_layernorm")(x);
    const Scope e = s / "embeddings" / "position_embedding";
    const ModulePath at(x, e.path());
    const Weight table = e.weight("weight", {c.table * c.table, c.hidden_size});
    x = op::add(x, sampled_positions(table, c.table, places, grid, Sampling::cubic));
  }
  for (std::int64_t i = 0; i < c.depth; ++i) x = block(s / "blocks" / i, c, x, attend);
  x = c.norm(s / "post_layernorm")(x);
  return merge(s / "merger", c, downsample(s / "downsample", c, x));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  c.harmless({"image_start_token_id", "image_end_token_id", "video_start_token_id", "video_end_token_id"});
  return forward_qwen_vl(tasks, inputs, model, component, encode);
}

class Glm4vOnnxConfig : public QwenVlOnnxConfig {
 public:
  using QwenVlOnnxConfig::QwenVlOnnxConfig;

 protected:
  PatchTowerConfig tower_config() const override { return tower_of(config().unaccounted()); }
};

}  // namespace

void register_glm4v(TasksManager& tasks) {
  register_multimodal_decoder<Glm4vOnnxConfig>(
      tasks, {.model_type = "glm4v", .forward = bound(tasks, forward), .key_names = qwen_vl_key_names()});
}

}  // namespace onnxport::models
