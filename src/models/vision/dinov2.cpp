// DINOv2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/dinov2/modeling_dinov2.py
#include <fmt/format.h>

#include "models/vision/common/backbone.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

struct Dinov2Config : ViTConfig {
  explicit Dinov2Config(const PretrainedConfig& config);
  nn::EncoderLayerParameters layer() const;
  bool gated;  ///< feed-forward with a gate
};

/// Images of any size: positions are resampled.
struct Dinov2 {
  nn::ImageTokens embeddings;
  nn::PreNormEncoder encoder;
  nn::LayerNorm norm;

  Dinov2(const Scope& s, const Dinov2Config& c);
  /// pixel_values [B, C, H, W] -> the embeddings and the result of each layer, without the last norm: [B, 1 +
  /// patches, hidden_size].
  std::vector<Value> states(Value pixel_values) const;
};

Dinov2Config::Dinov2Config(const PretrainedConfig& c) : ViTConfig(c), gated(c.flag("use_swiglu_ffn")) {
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

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Dinov2Config c(model.config());
  // Of the type as a backbone of another model.
  model.config().harmless({"out_features", "out_indices", "apply_layernorm", "reshape_hidden_states"});
  const Scope root = model.scope();
  const Dinov2 dinov2(root.base_model("dinov2"), c);
  const Value hidden = dinov2.norm(dinov2.states(inputs["pixel_values"]).back());
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const Value cls = nn::first_token(hidden);
  const Value patches = op::mean(op::slice(hidden, 1, 1, hidden.dim(1)), 1);
  const nn::Linear classifier(root / "classifier", 2 * c.hidden_size, c.num_labels);
  return {{"logits", classifier(op::concat({cls, patches}, 1))}};
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const std::vector<std::int64_t> stages = token_stages(config);
  const Dinov2 dinov2(s, Dinov2Config(config));
  BackboneFeatures features = token_features(config, pixel_values, dinov2.states(pixel_values), stages);
  if (config.flag("apply_layernorm")) {
    for (Value& state : features.stages) state = dinov2.norm(state);
  }
  return features;
}

}  // namespace

void register_dinov2(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "dinov2",
       .tasks = {"feature-extraction", "image-classification"},
       .forward = forward,
       .key_names = {.newer = {{"attention.attention.query", "attention.q_proj"},
                               {"attention.attention.key", "attention.k_proj"},
                               {"attention.attention.value", "attention.v_proj"},
                               {"attention.output.dense", "attention.o_proj"},
                               {"mlp.weights_out", "mlp.down_proj"}}},
       .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
