// MobileNetV1. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/mobilenet_v1/modeling_mobilenet_v1.py
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "models/common/config_numbers.h"
#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv_layer.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

/// Images of the size in the configuration; only the batch is a dynamic axis for clients.
class MobileNetV1OnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  bool takes_any_image_size() const override { return false; }
};

struct Config {
  std::int64_t num_channels, num_labels, min_depth;
  double depth_multiplier, layer_norm_eps;
  bool tf_padding;
  std::string hidden_act;

  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        num_labels(c.num_labels()),
        min_depth(divisor(c, "min_depth")),
        depth_multiplier(c.real("depth_multiplier")),
        layer_norm_eps(c.real("layer_norm_eps")),
        tf_padding(c.flag("tf_padding")),
        hidden_act(c.string("hidden_act")) {
    c.harmless({"image_size"});  // of the input, and any works
    if (!is_positive_below(depth_multiplier, 1000)) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: depth_multiplier is {}, expected more than 0",
                                                           c.origin(), depth_multiplier));
    }
  }

  std::int64_t width(std::int64_t channels) const {
    return std::max(static_cast<std::int64_t>(static_cast<double>(channels) * depth_multiplier), min_depth);
  }
};

struct MobileNetV1 {
  std::vector<nn::ConvLayer> layers;
  std::int64_t width = 0;

  MobileNetV1(const Scope& s, const Config& c) {
    const auto add = [&](const Scope& at, std::int64_t in, std::int64_t out, std::int64_t kernel,
                         std::int64_t stride = 1, std::int64_t groups = 1) {
      layers.emplace_back(at, nn::ConvLayerParameters{.in = in,
                                                      .out = out,
                                                      .kernel = kernel,
                                                      .stride = stride,
                                                      .groups = groups,
                                                      .padding = c.tf_padding ? nn::ConvPadding::tensorflow
                                                                              : nn::ConvPadding::centered,
                                                      .activation = c.hidden_act,
                                                      .eps = c.layer_norm_eps});
      width = out;
    };
    // The structure of the network, whatever its width. The channels grow with each stride, and at first.
    constexpr std::array<std::int64_t, 13> kStrides = {1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1};
    std::int64_t channels = 32;
    add(s / "conv_stem", c.num_channels, c.width(channels), 3, 2);
    for (std::size_t i = 0; i < kStrides.size(); ++i) {
      const auto number = static_cast<std::int64_t>(i);
      const std::int64_t in = width;
      if (kStrides[i] == 2 || i == 0) channels *= 2;
      add(s / "layer" / (2 * number), in, in, 3, kStrides[i], in);
      add(s / "layer" / (2 * number + 1), in, c.width(channels), 1);
    }
  }

  // [B, num_channels, H, W] -> [B, width, H', W']
  Value operator()(Value x) const {
    for (const nn::ConvLayer& layer : layers) x = layer(x);
    return x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const MobileNetV1 mobilenet(root.base_model("mobilenet_v1"), c);
  const Value hidden = mobilenet(inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const nn::Linear classifier(root / "classifier", mobilenet.width, c.num_labels);
  return {{"logits", classifier(nn::global_average_pool(hidden))}};
}

}  // namespace

void register_mobilenet_v1(TasksManager& tasks) {
  tasks.register_model<MobileNetV1OnnxConfig>({.model_type = "mobilenet_v1",
                                               .tasks = {"feature-extraction", "image-classification"},
                                               .forward = forward});
}

}  // namespace onnxport::models
