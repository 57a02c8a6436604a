// DINOv2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/dinov2/modeling_dinov2.py
#include "models/vision/common/dinov2.h"

#include <fmt/format.h>

#include "models/vision/common/backbone.h"
#include "onnxport/error.h"
#include "onnxport/nn/text_encoder.h"

namespace onnxport::models {

Dinov2Config::Dinov2Config(const PretrainedConfig& c, const Dinov2Variant& variant)
    : ViTConfig(c), gated(c.flag("use_swiglu_ffn")) {
  const double ratio = c.real("mlp_ratio");
  const bool sensible = ratio > 0 && ratio <= 1024;  // not a number is not
  if (!sensible) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: mlp_ratio is {}, expected a positive number up to 1024", c.origin(), ratio));
  }
  intermediate_size = static_cast<std::int64_t>(static_cast<double>(hidden_size) * ratio);
  if (gated) {
    const auto two_thirds = static_cast<std::int64_t>(static_cast<double>(intermediate_size * 2) / 3);
    intermediate_size = (two_thirds + 7) / 8 * 8;
    hidden_act = "silu";
  }
  // The initial value of scales in training; the token of masked patches.
  c.harmless({"layerscale_value", "use_mask_token"});
  if (!variant.registers) return;
  resampling = "antialiased cubic";
  num_register_tokens = learned_tokens(c, "num_register_tokens");
}

nn::ImageTokensParameters Dinov2Config::tokens() const {
  nn::ImageTokensParameters p = ViTConfig::tokens();
  p.resampling = resampling;
  if (num_register_tokens > 0) p.before.push_back({"register_tokens", num_register_tokens, false});
  return p;
}

nn::EncoderLayerParameters Dinov2Config::layer() const {
  nn::EncoderLayerParameters p = ViTConfig::layer();
  p.attention_norm = "norm1";
  p.output_norm = "norm2";
  p.up = gated ? "mlp.weights_in" : "mlp.fc1";
  p.down = gated ? "mlp.weights_out" : "mlp.fc2";
  return p;
}

Dinov2::Dinov2(const Scope& s, const Dinov2Config& c)
    : embeddings(s / "embeddings", c.tokens()),
      encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer(),
              {.attention_scale = "layer_scale1.lambda1",
               .output_scale = "layer_scale2.lambda1",
               .gated = c.gated}),
      norm(s / "layernorm", c.hidden_size, c.layer_norm_eps) {
  s.ignore("embeddings.mask_token");
}

std::vector<Value> Dinov2::states(Value pixel_values) const {
  return encoder.states(embeddings(pixel_values));
}

namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component,
                    const Dinov2Variant& variant) {
  const Dinov2Config c(model.config(), variant);
  // Of the type as a backbone of another model.
  model.config().harmless(
      {"out_features", "out_indices", "stage_names", "apply_layernorm", "reshape_hidden_states"});
  const Scope root = model.scope();
  const Dinov2 dinov2(root.base_model(variant.base_model), c);
  const Value hidden = dinov2.norm(dinov2.states(inputs["pixel_values"]).back());
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const Value cls = nn::first_token(hidden);
  const Value patches = op::mean(op::slice(hidden, 1, c.learned(), hidden.dim(1)), 1);
  const nn::Linear classifier(root / "classifier", 2 * c.hidden_size, c.num_labels);
  return {{"logits", classifier(op::concat({cls, patches}, 1))}};
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values,
                          const Dinov2Variant& variant) {
  const std::vector<std::int64_t> stages = token_stages(config);
  const Dinov2Config c(config, variant);
  const Dinov2 dinov2(s, c);
  std::vector<Value> chosen = stage_features(dinov2.states(pixel_values), stages).stages;
  if (config.flag("apply_layernorm")) {
    for (Value& state : chosen) state = dinov2.norm(state);
  }
  return token_features(config, pixel_values, std::move(chosen), c.learned());
}

}  // namespace

ModelDefinition dinov2_definition(const char* model_type, const Dinov2Variant& variant) {
  return {
      .model_type = model_type,
      .tasks = {"feature-extraction", "image-classification"},
      .forward = [variant](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(inputs, model, component, variant); },
      .key_names = {.newer = {{"attention.attention.query", "attention.q_proj"},
                              {"attention.attention.key", "attention.k_proj"},
                              {"attention.attention.value", "attention.v_proj"},
                              {"attention.output.dense", "attention.o_proj"},
                              {"mlp.weights_out", "mlp.down_proj"}}},
      .roles = {.backbone = BackboneRole{
                    [variant](const Scope& s, const PretrainedConfig& config, Value pixel_values) {
                      return features(s, config, pixel_values, variant);
                    }}}};
}

void register_dinov2(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(dinov2_definition("dinov2", {}));
}

}  // namespace onnxport::models
