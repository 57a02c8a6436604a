// MobileNetV2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mobilenet_v2/modeling_mobilenet_v2.py
#include <fmt/format.h>

#include <array>
#include <cmath>

#include "models/common/definition.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv_layer.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

/// Images of the size in the configuration; only the batch is a dynamic axis for clients.
class MobileNetV2OnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return false; }
};

// The structure of the network, whatever its width: channels after the stem and each block, and strides of
// the blocks.
constexpr std::array<std::int64_t, 17> kChannels = {16, 24, 24, 32, 32,  32,  64,  64, 64,
                                                    64, 96, 96, 96, 160, 160, 160, 320};
constexpr std::array<std::int64_t, 16> kStrides = {2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1};

struct Config {
  std::int64_t num_channels, num_labels, depth_divisible_by, min_depth, output_stride;
  double depth_multiplier, expand_ratio, layer_norm_eps;
  bool first_layer_is_expansion, finegrained_output, tf_padding;
  std::string hidden_act;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        num_labels(c.num_labels()),
        depth_divisible_by(c.integer("depth_divisible_by")),
        min_depth(c.integer("min_depth", depth_divisible_by)),
        output_stride(c.integer("output_stride")),
        depth_multiplier(c.real("depth_multiplier")),
        expand_ratio(c.real("expand_ratio")),
        layer_norm_eps(c.real("layer_norm_eps")),
        first_layer_is_expansion(c.flag("first_layer_is_expansion")),
        finegrained_output(c.flag("finegrained_output")),
        tf_padding(c.flag("tf_padding")),
        hidden_act(c.string("hidden_act")) {
    c.harmless({"image_size"});  // of the input, and any works
    const bool widths = depth_divisible_by > 0 && min_depth > 0 && depth_multiplier > 0 && expand_ratio > 0 &&
                        depth_multiplier < 1000 && expand_ratio < 1000;
    if (!widths || num_channels < 1) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: depth_multiplier {}, depth_divisible_by {}, min_depth {}, "
                                    "expand_ratio {}, num_channels {}: these give no valid widths of layers",
                                    c.origin(), depth_multiplier, depth_divisible_by, min_depth, expand_ratio,
                                    num_channels));
    }
  }

  std::int64_t scaled(std::int64_t value, double factor) const {
    return round_channels(std::nearbyint(static_cast<double>(value) * factor), depth_divisible_by, min_depth);
  }
  std::int64_t width(std::int64_t channels) const { return scaled(channels, depth_multiplier); }
  nn::ConvPadding padding() const {
    return tf_padding ? nn::ConvPadding::tensorflow : nn::ConvPadding::centered;
  }
  std::int64_t output_width() const {
    return finegrained_output && depth_multiplier < 1 ? 1280 : width(1280);
  }
};

struct Kernel {
  std::int64_t size = 1, stride = 1, groups = 1;
};

nn::ConvLayer conv_layer(const Scope& s, const Config& c, std::int64_t in, std::int64_t out,
                         const Kernel& k = {}, bool activate = true) {
  return {s,
          {.in = in,
           .out = out,
           .kernel = k.size,
           .stride = k.stride,
           .groups = k.groups,
           .padding = c.padding(),
           .activation = activate ? c.hidden_act : "",
           .eps = c.layer_norm_eps}};
}

struct MobileNetV2 {
  std::vector<nn::ConvLayer> stem;
  std::vector<nn::InvertedResidual> layers;
  nn::ConvLayer output;

  MobileNetV2(const Scope& s, const Config& c)
      : output(conv_layer(s / "conv_1x1", c, c.width(kChannels.back()), c.output_width())) {
    const Scope at = s / "conv_stem";
    const std::int64_t width = c.width(32);
    stem.push_back(conv_layer(at / "first_conv", c, c.num_channels, width, {.size = 3, .stride = 2}));
    if (!c.first_layer_is_expansion) stem.push_back(conv_layer(at / "expand_1x1", c, width, width));
    stem.push_back(conv_layer(at / "conv_3x3", c, width, width, {.size = 3, .groups = width}));
    stem.push_back(conv_layer(at / "reduce_1x1", c, width, c.width(kChannels.front()), {}, false));

    // When the image has reached its final size, kernels are dilated instead, from the next block on.
    std::int64_t shrunk = 2, dilation = 1;
    for (std::size_t i = 0; i < kStrides.size(); ++i) {
      const bool dilate = shrunk == c.output_stride;
      const std::int64_t in = c.width(kChannels[i]);
      layers.emplace_back(s / "layer" / static_cast<std::int64_t>(i),
                          nn::InvertedResidualParameters{.in = in,
                                                         .inner = c.scaled(in, c.expand_ratio),
                                                         .out = c.width(kChannels[i + 1]),
                                                         .stride = dilate ? 1 : kStrides[i],
                                                         .dilation = dilate ? dilation : 1,
                                                         .padding = c.padding(),
                                                         .activation = c.hidden_act,
                                                         .eps = c.layer_norm_eps});
      (dilate ? dilation : shrunk) *= kStrides[i];
    }
  }

  // [B, num_channels, H, W] -> [B, C, H', W']
  Value operator()(Value x) const {
    for (const nn::ConvLayer& layer : stem) x = layer(x);
    for (const nn::InvertedResidual& layer : layers) x = layer(x);
    return output(x);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const MobileNetV2 mobilenet(root.base_model("mobilenet_v2"), c);
  const Value hidden = mobilenet(inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const nn::Linear classifier(root / "classifier", c.output_width(), c.num_labels);
  return {{"logits", classifier(nn::global_average_pool(hidden))}};
}

}  // namespace

void register_mobilenet_v2(TasksManager& tasks) {
  tasks.register_model<MobileNetV2OnnxConfig>({.model_type = "mobilenet_v2",
                                               .tasks = {"feature-extraction", "image-classification"},
                                               .forward = forward});
}

}  // namespace onnxport::models
