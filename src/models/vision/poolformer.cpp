// PoolFormer. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/poolformer/modeling_poolformer.py
#include <fmt/format.h>

#include "models/common/config_numbers.h"
#include "models/common/definition.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/pooling.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t num_channels, num_labels, stages, pool_size;
  std::vector<std::int64_t> depths, hidden_sizes, patch_sizes, strides, padding;
  double mlp_ratio;
  std::string hidden_act;
  bool use_layer_scale;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        num_labels(c.num_labels()),
        stages(c.integer("num_encoder_blocks")),
        pool_size(c.integer("pool_size")),
        depths(per_stage(c, "depths", stages, 0)),
        hidden_sizes(per_stage(c, "hidden_sizes", stages)),
        patch_sizes(per_stage(c, "patch_sizes", stages)),
        strides(per_stage(c, "strides", stages)),
        padding(per_stage(c, "padding", stages, 0)),
        mlp_ratio(c.real("mlp_ratio")),
        hidden_act(c.string("hidden_act")),
        use_layer_scale(c.flag("use_layer_scale")) {
    // No module of the original reads the first two; the last is of training.
    c.harmless({"patch_size", "stride", "layer_scale_init_value"});
    constexpr std::int64_t kLargestPool = 255;
    // An even pool would shrink the image, and the original would fail to subtract it.
    if (stages < 1 || pool_size < 1 || pool_size > kLargestPool || pool_size % 2 == 0 ||
        !is_positive_below(mlp_ratio, 1000)) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: num_encoder_blocks is {}, pool_size {} and mlp_ratio {}, expected a "
                                    "positive number, an odd number up to {}, and a positive number",
                                    c.origin(), stages, pool_size, mlp_ratio, kLargestPool));
    }
  }
};

// The mean of the pixels around each one takes the place of attention.
struct Layer {
  std::string path;
  nn::AveragePoolParameters pool;
  nn::GroupNorm before_norm, after_norm;
  nn::Conv2d conv1, conv2;
  nn::Activation activation;
  Weight layer_scale_1, layer_scale_2;  // empty: none

  Layer(const Scope& s, const Config& c, std::int64_t width, std::int64_t inner)
      : path(s.path()),
        pool{.kernel = {c.pool_size, c.pool_size},
             .padding = {c.pool_size / 2, c.pool_size / 2},
             .count_padding = false},
        before_norm(s / "before_norm", 1, width),
        after_norm(s / "after_norm", 1, width),
        conv1(s / "output" / "conv1", width, inner, {1, 1}),
        conv2(s / "output" / "conv2", inner, width, {1, 1}),
        activation(c.hidden_act) {
    if (!c.use_layer_scale) return;
    layer_scale_1 = s.weight("layer_scale_1", {width});
    layer_scale_2 = s.weight("layer_scale_2", {width});
  }

  static Value scaled(Value x, const Weight& scale) {
    return scale ? op::mul(x, x.graph().weight(scale.reshape({scale.shape()[0], 1, 1}))) : x;
  }

  // [B, width, H, W]
  Value operator()(Value x) const {
    const ModulePath at(x, path);
    const Value normed = before_norm(x);
    const Value pooled = op::sub(nn::average_pool2d(normed, pool), normed);
    const Value middle = op::add(x, scaled(pooled, layer_scale_1));
    const Value fed = conv2(activation(conv1(after_norm(middle))));
    return op::add(middle, scaled(fed, layer_scale_2));
  }
};

// [B, num_channels, H, W] -> [B, C, H', W']
Value encode(const Scope& s, const Config& c, Value x) {
  std::int64_t in = c.num_channels;
  for (std::int64_t i = 0; i < c.stages; ++i) {
    const auto stage = static_cast<std::size_t>(i);
    const std::int64_t width = c.hidden_sizes[stage], patch = c.patch_sizes[stage];
    const std::int64_t stride = c.strides[stage], around = c.padding[stage];
    const nn::Conv2d projection(s / "patch_embeddings" / i / "projection", in, width, {patch, patch}, true,
                                {.stride = {stride, stride}, .padding = {around, around}});
    x = projection(x);
    const auto inner = static_cast<std::int64_t>(static_cast<double>(width) * c.mlp_ratio);
    for (std::int64_t j = 0; j < c.depths[stage]; ++j) x = Layer(s / "block" / i / j, c, width, inner)(x);
    in = width;
  }
  return x;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value hidden = encode(root.base_model("poolformer") / "encoder", c, inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const std::int64_t width = c.hidden_sizes[static_cast<std::size_t>(c.stages - 1)];
  const Value normed = nn::GroupNorm(root / "norm", 1, width)(hidden);
  const nn::Linear classifier(root / "classifier", width, c.num_labels);
  return {{"logits", classifier(nn::global_average_pool(normed))}};
}

}  // namespace

void register_poolformer(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>({.model_type = "poolformer",
                                          .tasks = {"feature-extraction", "image-classification"},
                                          .forward = forward});
}

}  // namespace onnxport::models
