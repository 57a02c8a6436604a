// EfficientNet. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/efficientnet/modeling_efficientnet.py
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/common/definition.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv_layer.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

struct Block {
  std::int64_t in, out, inner, squeezed, kernel, stride;
  bool expands, centered, residual;
};

struct Config {
  std::int64_t num_channels, num_labels, stem_width, top_width;
  double batch_norm_eps;
  std::string hidden_act;
  bool pools_mean;
  std::vector<Block> blocks;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        num_labels(c.num_labels()),
        stem_width(rounded(c, 32)),
        top_width(rounded(c, 1280)),
        batch_norm_eps(c.real("batch_norm_eps")),
        hidden_act(c.string("hidden_act")),
        pools_mean(pooling(c) == "mean") {
    // Any image size works; the norms' momentum is of training; the number of layers follows from the others.
    c.harmless({"image_size", "batch_norm_momentum", "num_hidden_layers"});
    if (const std::int64_t width = c.integer("hidden_dim"); width != top_width) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: hidden_dim is {}, but the last layer has {} "
                                                           "channels, 1280 times width_coefficient",
                                                           c.origin(), width, top_width));
    }
    add_blocks(c);
  }

 private:
  static std::int64_t rounded(const PretrainedConfig& c, std::int64_t channels) {
    const std::int64_t step = divisor(c, "depth_divisor");
    return round_channels(static_cast<double>(channels) * c.real("width_coefficient"), step, step);
  }

  static std::string pooling(const PretrainedConfig& c) {
    std::string type = c.string("pooling_type");
    if (type == "mean" || type == "max") return type;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: pooling_type is '{}', expected mean or max", c.origin(), type));
  }

  void add_blocks(const PretrainedConfig& c) {
    const std::int64_t stages = stage_count(c, "in_channels");
    const auto list = [&](const char* key) { return per_stage(c, key, stages); };
    const auto in = list("in_channels"), out = list("out_channels"), repeats = list("num_block_repeats");
    const auto kernels = list("kernel_sizes"), strides = list("strides"), ratios = list("expand_ratios");
    const std::vector<std::int64_t> centered = c.integers("depthwise_padding");  // numbers of blocks
    const double depth = c.real("depth_coefficient"), squeeze = c.real("squeeze_expansion_ratio");
    constexpr double kDeepest = 1000;
    for (std::size_t i = 0; i < in.size(); ++i) {
      const double count = std::ceil(depth * static_cast<double>(repeats[i]));
      if (!(count >= 0) || count > kDeepest || strides[i] > 2 || !(squeeze >= 0) || squeeze > 1) {
        throw ExportError(
            ErrorCode::bad_config,
            fmt::format("{}: stage {} has {} blocks (num_block_repeats times depth_coefficient), "
                        "a stride of {} (strides) and squeeze_expansion_ratio {}, expected up to "
                        "{} blocks, a stride of 1 or 2 and a ratio of 0 to 1",
                        c.origin(), i, count, strides[i], squeeze, kDeepest));
      }
      for (double j = 0; j < count; ++j) {
        const std::int64_t width = rounded(c, j == 0 ? in[i] : out[i]);
        const auto squeezed = static_cast<std::int64_t>(static_cast<double>(width) * squeeze);
        const bool listed = std::count(centered.begin(), centered.end(), std::ssize(blocks)) > 0;
        blocks.push_back({.in = width,
                          .out = rounded(c, out[i]),
                          .inner = width * ratios[i],
                          .squeezed = std::max<std::int64_t>(1, squeezed),
                          .kernel = kernels[i],
                          .stride = j == 0 ? strides[i] : 1,
                          .expands = ratios[i] != 1,
                          .centered = listed,
                          .residual = j > 0});
      }
    }
  }
};

nn::ConvLayer pointwise(const Scope& s, const Config& c, const std::string& kind, std::int64_t in,
                        std::int64_t out, bool activate) {
  return {s,
          {.in = in,
           .out = out,
           .activation = activate ? c.hidden_act : "",
           .eps = c.batch_norm_eps,
           .convolution = kind + "_conv",
           .norm = kind + "_bn"}};
}

// A convolution of each channel on its own. With a stride of 2, there is less padding before the image than
// behind it, unless the configuration lists the block.
nn::NormedConv2d depthwise(const Scope& s, const Config& c, const Block& b) {
  const std::int64_t half = b.kernel / 2;
  const std::int64_t before = b.stride == 2 ? half - (b.centered ? 0 : 1) : (b.kernel - 1) / 2;
  const std::int64_t behind = b.stride == 2 ? half : b.kernel - 1 - before;
  return {
      nn::Conv2d(
          s / "depthwise_conv", b.inner, b.inner, {b.kernel, b.kernel}, false,
          {.stride = {b.stride, b.stride}, .padding = {before, before, behind, behind}, .groups = b.inner}),
      nn::BatchNorm2d(s / "depthwise_norm", b.inner, c.batch_norm_eps)};
}

Value run_block(Value x, const Scope& s, const Config& c, const Block& b) {
  const nn::Activation activation(c.hidden_act);
  Value y = b.expands ? pointwise(s / "expansion", c, "expand", b.in, b.inner, true)(x) : x;
  y = activation(depthwise(s / "depthwise_conv", c, b)(y));
  y = nn::SqueezeExcite(s / "squeeze_excite",
                        {.channels = b.inner, .reduced = b.squeezed, .activation = c.hidden_act})(y);
  y = pointwise(s / "projection", c, "project", b.inner, b.out, false)(y);
  return b.residual ? op::add(y, x) : y;
}

// [B, num_channels, H, W] -> [B, top_width, H', W']
Value encode(const Scope& s, const Config& c, Value pixel_values) {
  const Scope stem = s / "embeddings", encoder = s / "encoder";
  const nn::NormedConv2d layer{nn::Conv2d(stem / "convolution", c.num_channels, c.stem_width, {3, 3}, false,
                                          {.stride = {2, 2}, .padding = {0, 0, 1, 1}}),
                               nn::BatchNorm2d(stem / "batchnorm", c.stem_width, c.batch_norm_eps)};
  Value x = nn::Activation(c.hidden_act)(layer(pixel_values));
  std::int64_t width = c.stem_width;
  for (std::size_t i = 0; i < c.blocks.size(); ++i) {
    const Block& b = c.blocks[i];
    x = run_block(x, encoder / "blocks" / static_cast<std::int64_t>(i), c, b);
    width = b.out;
  }
  return pointwise(encoder, c, "top", width, c.top_width, true)(x);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value hidden = encode(root.base_model("efficientnet"), c, inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  // The original pools windows of hidden_dim pixels, and fails if there are several.
  const Value pooled =
      c.pools_mean ? nn::global_average_pool(hidden) : op::amax(op::flatten(hidden, 2, 3), 2);
  return {{"logits", nn::Linear(root / "classifier", c.top_width, c.num_labels)(pooled)}};
}

}  // namespace

void register_efficientnet(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>({.model_type = "efficientnet",
                                          .tasks = {"feature-extraction", "image-classification"},
                                          .forward = forward});
}

}  // namespace onnxport::models
