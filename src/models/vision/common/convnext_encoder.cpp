#include <fmt/format.h>

#include <algorithm>

#include "models/vision/common/backbone.h"
#include "models/vision/common/convnext.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/channel_norm.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

// The class sets these defaults in its constructor, not in its declaration.
std::vector<std::int64_t> list(const PretrainedConfig& c, const char* key,
                               std::vector<std::int64_t> fallback) {
  return c.has(key) ? c.integers(key) : std::move(fallback);
}

Value channels_last(Value image) { return op::permute(image, {0, 2, 3, 1}); }
Value channels_first(Value image) { return op::permute(image, {0, 3, 1, 2}); }

}  // namespace

ConvNextConfig::ConvNextConfig(const PretrainedConfig& c)
    : num_channels(c.integer("num_channels")),
      patch_size(c.integer("patch_size", 4)),
      num_labels(c.num_labels()),
      hidden_sizes(list(c, "hidden_sizes", {96, 192, 384, 768})),
      depths(list(c, "depths", {3, 3, 9, 3})),
      hidden_act(c.string("hidden_act")),
      layer_norm_eps(c.real("layer_norm_eps")) {
  const std::int64_t stages = c.integer("num_stages", std::ssize(hidden_sizes));
  // Images of any size; names of the stages.
  c.harmless({"image_size", "stage_names"});
  const auto positive = [](std::int64_t n) { return n > 0; };
  if (stages < 1 || std::ssize(hidden_sizes) != stages || std::ssize(depths) != stages || patch_size < 1 ||
      num_channels < 1 || !std::all_of(hidden_sizes.begin(), hidden_sizes.end(), positive)) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: hidden_sizes [{}] and depths [{}], expected num_stages ({}) positive "
                                  "numbers each; patch_size {}, num_channels {}, expected at least 1",
                                  c.origin(), fmt::join(hidden_sizes, ", "), fmt::join(depths, ", "), stages,
                                  patch_size, num_channels));
  }
}

namespace {

struct Block {
  std::string path;
  nn::Conv2d dwconv;
  nn::LayerNorm layernorm;
  nn::Linear pwconv1;
  nn::Activation activation;
  std::function<Value(Value)> behind_activation;
  nn::Linear pwconv2;
  Weight layer_scale;  // empty: none

  Block(const Scope& s, std::int64_t width, const ConvNextConfig& c, const ConvNextVariant& variant)
      : path(s.path()),
        dwconv(s / variant.keys.depthwise, width, width, {7, 7}, true, {.padding = {3, 3}, .groups = width}),
        layernorm(s / variant.keys.norm, width, variant.eps),
        pwconv1(s / variant.keys.up, width, 4 * width),
        activation(c.hidden_act),
        pwconv2(s / variant.keys.down, 4 * width, width) {
    if (variant.behind_activation) behind_activation = variant.behind_activation(s, 4 * width);
    if (variant.layer_scale) layer_scale = s.weight(variant.keys.layer_scale, {width});
  }

  // [B, C, H, W]
  Value operator()(Value x) const {
    const ModulePath at(x, path);
    Value y = activation(pwconv1(layernorm(channels_last(dwconv(x)))));
    if (behind_activation) y = behind_activation(y);
    y = pwconv2(y);
    if (layer_scale) y = op::mul(y, y.graph().weight(layer_scale));
    return op::add(x, channels_first(y));
  }
};

struct Stage {
  std::optional<nn::ChannelNorm> norm;
  std::optional<nn::Conv2d> downsample;
  std::vector<Block> blocks;

  Stage(const Scope& s, std::size_t i, const ConvNextConfig& c, const ConvNextVariant& variant) {
    const std::int64_t width = c.hidden_sizes[i];
    if (i > 0) {
      const std::int64_t before = c.hidden_sizes[i - 1];
      norm.emplace(s / variant.keys.downsampling / 0, before, variant.eps);
      downsample.emplace(s / variant.keys.downsampling / 1, before, width, nn::KernelSize{2, 2}, true,
                         op::ConvOptions{.stride = {2, 2}});
    }
    for (std::int64_t j = 0; j < c.depths[i]; ++j) blocks.emplace_back(s / "layers" / j, width, c, variant);
  }

  Value operator()(Value x) const {
    if (downsample) x = (*downsample)((*norm)(x));
    for (const Block& block : blocks) x = block(x);
    return x;
  }
};

}  // namespace

std::vector<Value> convnext_states(const Scope& s, const ConvNextConfig& c, Value pixel_values,
                                   const ConvNextVariant& variant) {
  const nn::Conv2d patches(s / variant.keys.patches, c.num_channels, c.hidden_sizes[0],
                           {c.patch_size, c.patch_size}, true, {.stride = {c.patch_size, c.patch_size}});
  const nn::ChannelNorm norm(s / variant.keys.patches_norm, c.hidden_sizes[0], variant.eps);
  std::vector<Value> states = {norm(patches(pixel_values))};
  for (std::size_t i = 0; i < c.hidden_sizes.size(); ++i) {
    const Scope at = s / variant.keys.stages / static_cast<std::int64_t>(i);
    states.push_back(Stage(at, i, c, variant)(states.back()));
  }
  return states;
}

NamedValues forward_convnext(const Inputs& inputs, const Model& model, const Component& component,
                             const ConvNextVariant& variant) {
  const ConvNextConfig c(model.config());
  model.config().harmless({"out_features", "out_indices"});  // of the type as a backbone of another model
  const Scope root = model.scope();
  const Scope base = root.base_model(variant.base_model);
  const Value hidden = convnext_states(base, c, inputs["pixel_values"], variant).back();
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const Value pooled = nn::global_average_pool(hidden);
  const std::int64_t width = c.hidden_sizes.back();
  const Value normed = nn::LayerNorm(base / "layernorm", width, c.layer_norm_eps)(pooled);
  return {{"logits", nn::Linear(root / "classifier", width, c.num_labels)(normed)}};
}

BackboneFeatures convnext_features(const Scope& s, const PretrainedConfig& config, Value pixel_values,
                                   const ConvNextVariant& variant) {
  const ConvNextConfig c(config);
  const std::vector<std::int64_t> stages = backbone_stages(config, std::ssize(c.hidden_sizes));
  config.harmless({"layer_norm_eps"});  // of the last norm
  BackboneFeatures features = stage_features(convnext_states(s, c, pixel_values, variant), stages);
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const std::string name = stages[i] == 0 ? "stem" : fmt::format("stage{}", stages[i]);
    Value& image = features.stages[i];
    const nn::ChannelNorm norm(s / "hidden_states_norms" / name, *image.dim(1).constant(), variant.eps);
    image = norm(image);
  }
  return features;
}

}  // namespace onnxport::models
