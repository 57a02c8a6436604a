// FocalNet. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/focalnet/modeling_focalnet.py
#include <fmt/format.h>

#include "models/common/config_numbers.h"
#include "models/common/definition.h"
#include "models/vision/common/backbone.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t num_channels, patch_size, embed_dim, num_labels;
  std::vector<std::int64_t> depths, focal_levels, focal_windows;
  double mlp_ratio, layer_norm_eps;
  std::string hidden_act;
  bool use_conv_embed, use_layerscale, use_post_layernorm, norm_in_modulation, normalize_modulator;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        patch_size(moderate(c, "patch_size")),
        embed_dim(moderate(c, "embed_dim")),
        num_labels(c.num_labels()),
        depths(per_stage(c, "depths", stage_count(c, "depths"), 0)),
        focal_levels(per_stage(c, "focal_levels", std::ssize(depths), 0)),
        focal_windows(per_stage(c, "focal_windows", std::ssize(depths))),
        mlp_ratio(c.real("mlp_ratio")),
        layer_norm_eps(c.real("layer_norm_eps")),
        hidden_act(c.string("hidden_act")),
        use_conv_embed(c.flag("use_conv_embed")),
        use_layerscale(c.flag("use_layerscale")),
        use_post_layernorm(c.flag("use_post_layernorm")),
        norm_in_modulation(c.flag("use_post_layernorm_in_modulation")),
        normalize_modulator(c.flag("normalize_modulator")) {
    // Any size works; hidden_sizes follow from embed_dim; of training; of the head for masked images.
    c.harmless({"image_size", "hidden_sizes", "layerscale_value", "encoder_stride", "stage_names"});
    constexpr std::int64_t kConvPatch = 4;
    if (use_conv_embed && patch_size != kConvPatch) {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: patch_size is {} with use_conv_embed, expected {}", c.origin(),
                                    patch_size, kConvPatch));
    }
    if (!is_positive_below(mlp_ratio, 1000)) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: mlp_ratio is {}, expected a positive number",
                                                           c.origin(), mlp_ratio));
    }
  }

  std::int64_t width(std::size_t stage) const { return embed_dim << stage; }
  nn::LayerNorm norm(const Scope& s, std::int64_t width) const { return {s, width, layer_norm_eps}; }
};

// An image cut into patches. The original fills its last patches with zeros, which the kernel reaches here as
// padding.
nn::Conv2d patches(const Scope& s, const Config& c, std::int64_t in, std::int64_t out, bool stem) {
  if (!c.use_conv_embed) {
    const std::int64_t side = stem ? c.patch_size : 2;
    return {s, in, out, {side, side}, true, {.stride = {side, side}, .padding = {0, 0, side - 1, side - 1}}};
  }
  if (stem) return {s, in, out, {7, 7}, true, {.stride = {4, 4}, .padding = {2, 2, 4, 4}}};
  return {s, in, out, {3, 3}, true, {.stride = {2, 2}, .padding = {1, 1}}};
}

Value channels_last(Value image) { return op::permute(image, {0, 2, 3, 1}); }
Value channels_first(Value image) { return op::permute(image, {0, 3, 1, 2}); }

// Multiplies each pixel by a mixture of its surroundings, near and far, and of the whole image. x [B, H, W,
// C]
Value modulate(Value x, const Scope& s, const Config& c, std::size_t stage) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.width(stage), levels = c.focal_levels[stage];
  const nn::Linear projection_in(s / "projection_in", width, 2 * width + levels + 1);
  const std::vector<Value> parts = op::split(channels_first(projection_in(x)), 1, {width, width, levels + 1});
  Value context = parts[1], mixed;
  const auto add_gated = [&](Value part, std::int64_t level) {
    const Value gated = op::mul(part, op::slice(parts[2], 1, level, level + 1));
    mixed = mixed ? op::add(mixed, gated) : gated;
  };
  for (std::int64_t level = 0; level < levels; ++level) {
    const std::int64_t kernel = 2 * level + c.focal_windows[stage];
    const nn::Conv2d wider(s / "focal_layers" / level / 0, width, width, {kernel, kernel}, false,
                           {.padding = {kernel / 2, kernel / 2}, .groups = width});
    context = op::gelu(wider(context));
    add_gated(context, level);
  }
  const Value mean = op::unsqueeze(op::mean(op::flatten(context, 2, 3), 2, true), 3);
  add_gated(op::gelu(mean), levels);
  if (c.normalize_modulator) mixed = op::div(mixed, static_cast<double>(levels + 1));
  const Value modulator = nn::Conv2d(s / "projection_context", width, width, {1, 1})(mixed);
  Value modulated = channels_last(op::mul(parts[0], modulator));
  if (c.norm_in_modulation) modulated = c.norm(s / "layernorm", width)(modulated);
  return nn::Linear(s / "projection_out", width, width)(modulated);
}

// x [B, H, W, C]
Value run_layer(Value x, const Scope& s, const Config& c, std::size_t stage) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.width(stage);
  const auto inner = static_cast<std::int64_t>(static_cast<double>(width) * c.mlp_ratio);
  const nn::Linear fc1(s / "mlp" / "fc1", width, inner), fc2(s / "mlp" / "fc2", inner, width);
  const nn::Activation activation(c.hidden_act);
  // Adds a branch with its norm before or after it.
  const auto add_branch = [&](const char* norm_key, const char* scale_key, const auto& branch) {
    const nn::LayerNorm norm = c.norm(s / norm_key, width);
    Value y = c.use_post_layernorm ? norm(branch(x)) : branch(norm(x));
    if (c.use_layerscale) y = op::mul(y, y.graph().weight(s.weight(scale_key, {width})));
    x = op::add(x, y);
  };
  add_branch("norm1", "gamma_1", [&](Value y) { return modulate(y, s / "modulation", c, stage); });
  add_branch("norm2", "gamma_2", [&](Value y) { return fc2(activation(fc1(y))); });
  return x;
}

// The images behind the stem and behind each stage, which ends with the patches of the next one.
std::vector<Value> encode(const Scope& s, const Config& c, Value pixel_values) {
  const Scope embeddings = s / "embeddings";
  const Value stem = patches(embeddings / "patch_embeddings" / "projection", c, c.num_channels, c.embed_dim,
                             true)(pixel_values);
  Value x = c.norm(embeddings / "norm", c.embed_dim)(channels_last(stem));
  std::vector<Value> states = {channels_first(x)};
  for (std::size_t stage = 0; stage < c.depths.size(); ++stage) {
    const Scope at = s / "encoder" / "stages" / static_cast<std::int64_t>(stage);
    for (std::int64_t i = 0; i < c.depths[stage]; ++i) x = run_layer(x, at / "layers" / i, c, stage);
    if (stage + 1 < c.depths.size()) {
      const Scope down = at / "downsample";
      const std::int64_t next = c.width(stage + 1);
      const Value merged = patches(down / "projection", c, c.width(stage), next, false)(channels_first(x));
      x = c.norm(down / "norm", next)(channels_last(merged));
    }
    states.push_back(channels_first(x));
  }
  return states;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  model.config().harmless({"out_features", "out_indices"});  // of a backbone
  const Scope root = model.scope();
  const Scope base = root.base_model("focalnet");
  const Value tokens = nn::image_to_tokens(encode(base, c, inputs["pixel_values"]).back());
  const std::int64_t width = c.width(c.depths.size() - 1);
  const Value hidden = c.norm(base / "layernorm", width)(tokens);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  return {{"logits", nn::Linear(root / "classifier", width, c.num_labels)(op::mean(hidden, 1))}};
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Config c(config);
  const std::vector<std::int64_t> stages = backbone_stages(config, std::ssize(c.depths));
  const Scope focalnet = s / "focalnet";
  focalnet.ignore("layernorm");  // only behind the last stage of the other tasks
  return stage_features(encode(focalnet, c, pixel_values), stages);
}

}  // namespace

void register_focalnet(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>({.model_type = "focalnet",
                                          .tasks = {"feature-extraction", "image-classification"},
                                          .forward = forward,
                                          .ignorable_keys = {"*embeddings.mask_token"},
                                          .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
