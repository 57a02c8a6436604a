// UPerNet: segmentation by pyramids behind a backbone. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/upernet/modeling_upernet.py
#include <fmt/format.h>

#include <algorithm>

#include "models/vision/common/backbone.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/conv_layer.h"
#include "onnxport/nn/pooling.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaultBackbone =
    R"({"model_type": "resnet", "out_features": ["stage1", "stage2", "stage3", "stage4"]})";

struct Config {
  std::int64_t hidden_size, num_labels;
  std::vector<std::int64_t> pool_scales;

  explicit Config(const PretrainedConfig& c)
      : hidden_size(c.integer("hidden_size")),
        num_labels(c.num_labels()),
        pool_scales(c.integers("pool_scales")) {
    // Of a head that is only for a loss.
    c.harmless({"use_auxiliary_head", "auxiliary_loss_weight", "auxiliary_in_channels", "auxiliary_channels",
                "auxiliary_num_convs", "auxiliary_concat_input", "loss_ignore_index"});
    const auto bad = [](std::int64_t n) { return n < 1 || n > 64; };
    if (hidden_size < 1 || hidden_size > 1 << 20 ||
        std::any_of(pool_scales.begin(), pool_scales.end(), bad)) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: hidden_size is {} and pool_scales [{}], expected positive numbers, the "
                      "second up to 64",
                      c.origin(), hidden_size, fmt::join(pool_scales, ", ")));
    }
  }
};

// Convolution, batch norm, relu, to hidden_size channels.
Value conv_module(const Scope& s, const Config& c, Value x, std::int64_t kernel) {
  return nn::ConvLayer(s, {.in = *x.dim(1).constant(),
                           .out = c.hidden_size,
                           .kernel = kernel,
                           .activation = "relu",
                           .convolution = "conv",
                           .norm = "batch_norm"})(x);
}

Value resized(Value x, Value like) {
  if (x.dim(2) == like.dim(2) && x.dim(3) == like.dim(3)) return x;
  return op::interpolate(x, {like.dim(2), like.dim(3)}, "linear");
}

// Means over parts of the image, of several sizes.
Value pyramid(const Scope& s, const Config& c, Value x) {
  std::vector<Value> all = {x};
  for (std::size_t i = 0; i < c.pool_scales.size(); ++i) {
    const Scope block = s / "psp_modules" / static_cast<std::int64_t>(i);
    const Value pooled = nn::adaptive_average_pool2d(x, c.pool_scales[i], c.pool_scales[i]);
    all.push_back(resized(conv_module(block / 1, c, pooled, 1), x));
  }
  return conv_module(s / "bottleneck", c, op::concat(std::move(all), 1), 3);
}

// Images from large to small -> [B, num_labels, H, W], the size of the first.
Value decode(const Scope& s, const Config& c, const std::vector<Value>& images) {
  const ModulePath at(images.front(), s.path());
  const std::size_t last = images.size() - 1;
  std::vector<Value> levels;
  for (std::size_t i = 0; i < last; ++i)
    levels.push_back(conv_module(s / "lateral_convs" / static_cast<std::int64_t>(i), c, images[i], 1));
  levels.push_back(pyramid(s, c, images.back()));
  for (std::size_t i = last; i > 0; --i)
    levels[i - 1] = op::add(levels[i - 1], resized(levels[i], levels[i - 1]));
  for (std::size_t i = 0; i < last; ++i)
    levels[i] = conv_module(s / "fpn_convs" / static_cast<std::int64_t>(i), c, levels[i], 3);
  for (std::size_t i = 1; i <= last; ++i) levels[i] = resized(levels[i], levels[0]);
  const Value all = last == 0 ? levels[0] : op::concat(std::move(levels), 1);
  return nn::Conv2d(s / "classifier", c.hidden_size, c.num_labels,
                    {1, 1})(conv_module(s / "fpn_bottleneck", c, all, 3));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& config = model.config();
  const Config c(config);
  const Scope root = model.scope();
  const Value pixel_values = inputs["pixel_values"];
  const PretrainedConfig backbone = own_backbone_config(config, kDefaultBackbone);
  const std::vector<Value> images = run_backbone(tasks, root / "backbone", backbone, pixel_values).stages;
  if (images.back().rank() != 4) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: a backbone of type '{}' returns tokens, expected images",
                                  config.origin(), backbone.model_type()));
  }
  return {{"logits", resized(decode(root / "decode_head", c, images), pixel_values)}};
}

}  // namespace

void register_upernet(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "upernet",
       .tasks = {"semantic-segmentation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& /*component*/) { return forward(tasks, inputs, model); },
       .ignorable_keys = {"auxiliary_head.*"}});
}

}  // namespace onnxport::models
