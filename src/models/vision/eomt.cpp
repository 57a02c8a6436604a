// EoMT: DINOv2 as a segmenter. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/eomt/modeling_eomt.py
#include "models/vision/common/eomt.h"

#include "models/vision/common/dinov2.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/pre_norm_encoder.h"

namespace onnxport::models {
namespace {

// The encoder's layers have other keys than those of DINOv2.
nn::EncoderLayerParameters layer_parameters(const Dinov2Config& c) {
  nn::EncoderLayerParameters p = c.layer();
  p.attention.query = "q_proj";
  p.attention.key = "k_proj";
  p.attention.value = "v_proj";
  p.attention.output = "out_proj";
  return p;
}

// Positions of patches alone; learned tokens without positions before them.
Value embed(const Scope& s, const Dinov2Config& c, Value pixel_values) {
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
  const Dinov2Config vit(config, {.registers = true});
  const EomtConfig c(config, vit, vit.learned());
  const Scope root = model.scope();
  const nn::PreNormEncoder encoder(root / "layers", vit.num_hidden_layers, layer_parameters(vit),
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
