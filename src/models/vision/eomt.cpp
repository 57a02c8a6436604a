// EoMT: DINOv2 as a segmenter. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/eomt/modeling_eomt.py
#include "models/vision/common/eomt.h"

#include <fmt/format.h>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/pre_norm_encoder.h"

namespace onnxport::models {
namespace {

struct Config : ViTConfig {
  bool gated;  ///< feed-forward with a gate
  std::int64_t num_register_tokens;

  explicit Config(const PretrainedConfig& c)
      : ViTConfig(c), gated(c.flag("use_swiglu_ffn")), num_register_tokens(c.integer("num_register_tokens")) {
    c.harmless({"layerscale_value"});  // of training
    const std::int64_t ratio = c.integer("mlp_ratio");
    if (ratio < 1 || ratio > 1024 || num_register_tokens < 0 || num_register_tokens > 1024) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: mlp_ratio is {} and num_register_tokens {}, expected 1 to 1024, and "
                                    "0 to 1024",
                                    c.origin(), ratio, num_register_tokens));
    }
    intermediate_size = hidden_size * ratio;
    if (!gated) return;
    intermediate_size = (intermediate_size * 2 / 3 + 7) / 8 * 8;
    hidden_act = "silu";
  }

  std::int64_t learned() const { return 1 + num_register_tokens; }
  nn::EncoderLayerParameters layer() const {
    nn::EncoderLayerParameters p = ViTConfig::layer();
    p.attention.query = "q_proj";
    p.attention.key = "k_proj";
    p.attention.value = "v_proj";
    p.attention.output = "out_proj";
    p.attention_norm = "norm1";
    p.output_norm = "norm2";
    p.up = gated ? "mlp.weights_in" : "mlp.fc1";
    p.down = gated ? "mlp.weights_out" : "mlp.fc2";
    return p;
  }
};

// Positions of patches alone; learned tokens without positions before them.
Value embed(const Scope& s, const Config& c, Value pixel_values) {
  const ModulePath at(pixel_values, s.path());
  const nn::Conv2d projection(s / "patch_embeddings" / "projection", c.num_channels, c.hidden_size, c.patch,
                              true, {.stride = {c.patch.height, c.patch.width}});
  const std::int64_t patches = c.grid.height * c.grid.width;
  const Value tokens = nn::image_to_tokens(projection(pixel_values));
  const Weight positions = (s / "position_embeddings").weight("weight", {patches, c.hidden_size});
  const Value placed = op::add(tokens, tokens.graph().weight(positions));
  const Weight learned[] = {s.weight("cls_token", {1, 1, c.hidden_size}),
                            s.weight("register_tokens", {1, c.num_register_tokens, c.hidden_size})};
  const Value before = op::expand(tokens.graph().weight(Weight::concat(learned, 1)),
                                  {tokens.dim(0), c.learned(), c.hidden_size});
  return op::concat({before, placed}, 1);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const PretrainedConfig& config = model.config();
  const Config vit(config);
  const EomtConfig c(config, vit, vit.learned());
  const Scope root = model.scope();
  const nn::PreNormEncoder encoder(root / "layers", vit.num_hidden_layers, vit.layer(),
                                   {.attention_scale = "layer_scale1.lambda1",
                                    .output_scale = "layer_scale2.lambda1",
                                    .gated = vit.gated});
  const Value tokens = embed(root / "embeddings", vit, inputs["pixel_values"]);
  return segment_eomt(root, config, c, tokens,
                      [&](std::int64_t index, Value x, std::int64_t, const op::AttentionMask& mask) {
                        return encoder.layers()[static_cast<std::size_t>(index)](x, mask);
                      });
}

}  // namespace

void register_eomt(TasksManager& tasks) {
  tasks.register_model<EomtOnnxConfig>({.model_type = "eomt",
                                        .tasks = {"image-segmentation"},
                                        .forward = forward,
                                        .ignorable_keys = {"criterion.empty_weight"},
                                        .key_names = {.newer = {{"mlp.weights_out", "mlp.down_proj"}}}});
}

}  // namespace onnxport::models
