// ConvNeXt. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/convnext/modeling_convnext.py
#include "models/vision/common/convnext.h"

#include <fmt/format.h>

#include <algorithm>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-6;  // of all norms but the last

struct Config {
  std::int64_t num_channels, patch_size, num_labels;
  std::vector<std::int64_t> hidden_sizes, depths;
  std::string hidden_act;
  double layer_norm_eps;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        patch_size(c.integer("patch_size")),
        num_labels(c.num_labels()),
        hidden_sizes(list(c, "hidden_sizes", {96, 192, 384, 768})),
        depths(list(c, "depths", {3, 3, 9, 3})),
        hidden_act(c.string("hidden_act")),
        layer_norm_eps(c.real("layer_norm_eps")) {
    const std::int64_t stages = c.integer("num_stages");
    // Images of any size; stages for a backbone, while these tasks use the last one.
    c.harmless({"image_size", "out_features", "out_indices", "stage_names"});
    const auto positive = [](std::int64_t n) { return n > 0; };
    if (stages < 1 || std::ssize(hidden_sizes) != stages || std::ssize(depths) != stages || patch_size < 1 ||
        num_channels < 1 || !std::all_of(hidden_sizes.begin(), hidden_sizes.end(), positive)) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: hidden_sizes [{}] and depths [{}], expected num_stages ({}) positive "
                      "numbers each; patch_size {}, num_channels {}, expected at least 1",
                      c.origin(), fmt::join(hidden_sizes, ", "), fmt::join(depths, ", "), stages, patch_size,
                      num_channels));
    }
  }

  // The class sets these defaults in its constructor, not in its declaration.
  static std::vector<std::int64_t> list(const PretrainedConfig& c, const char* key,
                                        std::vector<std::int64_t> fallback) {
    return c.has(key) ? c.integers(key) : std::move(fallback);
  }
};

Value channels_last(Value image) { return op::permute(image, {0, 2, 3, 1}); }
Value channels_first(Value image) { return op::permute(image, {0, 3, 1, 2}); }

// Over the channels of an image.
Value norm_channels(const nn::LayerNorm& norm, Value image) {
  return channels_first(norm(channels_last(image)));
}

struct Block {
  std::string path;
  nn::Conv2d dwconv;
  nn::LayerNorm layernorm;
  nn::Linear pwconv1;
  nn::Activation activation;
  std::function<Value(Value)> behind_activation;
  nn::Linear pwconv2;
  Weight layer_scale;  // empty: none

  Block(const Scope& s, std::int64_t width, const Config& c, const ConvNextVariant& variant)
      : path(s.path()),
        dwconv(s / "dwconv", width, width, {7, 7}, true, {.padding = {3, 3}, .groups = width}),
        layernorm(s / "layernorm", width, kEps),
        pwconv1(s / "pwconv1", width, 4 * width),
        activation(c.hidden_act),
        pwconv2(s / "pwconv2", 4 * width, width) {
    if (variant.behind_activation) behind_activation = variant.behind_activation(s, 4 * width);
    if (variant.layer_scale) layer_scale = s.weight("layer_scale_parameter", {width});
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
  std::optional<nn::LayerNorm> norm;
  std::optional<nn::Conv2d> downsample;
  std::vector<Block> blocks;

  Stage(const Scope& s, std::size_t i, const Config& c, const ConvNextVariant& variant) {
    const std::int64_t width = c.hidden_sizes[i];
    if (i > 0) {
      const std::int64_t before = c.hidden_sizes[i - 1];
      norm.emplace(s / "downsampling_layer" / 0, before, kEps);
      downsample.emplace(s / "downsampling_layer" / 1, before, width, nn::KernelSize{2, 2}, true,
                         op::ConvOptions{.stride = {2, 2}});
    }
    for (std::int64_t j = 0; j < c.depths[i]; ++j) blocks.emplace_back(s / "layers" / j, width, c, variant);
  }

  Value operator()(Value x) const {
    if (downsample) x = (*downsample)(norm_channels(*norm, x));
    for (const Block& block : blocks) x = block(x);
    return x;
  }
};

struct ConvNext {
  nn::Conv2d patch_embeddings;
  nn::LayerNorm norm;
  std::vector<Stage> stages;

  ConvNext(const Scope& s, const Config& c, const ConvNextVariant& variant)
      : patch_embeddings(s / "embeddings" / "patch_embeddings", c.num_channels, c.hidden_sizes[0],
                         {c.patch_size, c.patch_size}, true, {.stride = {c.patch_size, c.patch_size}}),
        norm(s / "embeddings" / "layernorm", c.hidden_sizes[0], kEps) {
    const Scope encoder = s / "encoder" / "stages";
    for (std::size_t i = 0; i < c.hidden_sizes.size(); ++i)
      stages.emplace_back(encoder / static_cast<std::int64_t>(i), i, c, variant);
  }

  // [B, num_channels, H, W] -> [B, C, H', W']
  Value operator()(Value pixel_values) const {
    Value x = norm_channels(norm, patch_embeddings(pixel_values));
    for (const Stage& stage : stages) x = stage(x);
    return x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const bool layer_scale = model.config().real("layer_scale_init_value") > 0;
  return forward_convnext(inputs, model, component, {.layer_scale = layer_scale});
}

}  // namespace

NamedValues forward_convnext(const Inputs& inputs, const Model& model, const Component& component,
                             const ConvNextVariant& variant) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model(variant.base_model);
  const Value hidden = ConvNext(base, c, variant)(inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const Value pooled = nn::global_average_pool(hidden);
  const std::int64_t width = c.hidden_sizes.back();
  const Value normed = nn::LayerNorm(base / "layernorm", width, c.layer_norm_eps)(pooled);
  return {{"logits", nn::Linear(root / "classifier", width, c.num_labels)(normed)}};
}

void register_convnext(TasksManager& tasks) {
  tasks.register_model<ConvNextOnnxConfig>({.model_type = "convnext",
                                            .tasks = {"feature-extraction", "image-classification"},
                                            .forward = forward});
}

}  // namespace onnxport::models
