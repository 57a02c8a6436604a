// Big Transfer (BiT): a ResNet with standardized weights and group norms. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bit/modeling_bit.py
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "models/vision/common/backbone.h"
#include "models/vision/common/pooled_features.h"
#include "models/vision/common/stages.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

struct BitConfig {
  std::int64_t num_channels, num_labels, embedding_size, num_groups, output_stride;
  std::vector<std::int64_t> depths;    ///< layers of each stage
  std::vector<std::int64_t> channels;  ///< that each stage gives
  std::string hidden_act;
  bool same_padding, dynamic_padding;  ///< of convolutions; in front of the pooling of the stem
  bool preactivation;                  ///< norms come before convolutions

  explicit BitConfig(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        num_labels(c.num_labels()),
        embedding_size(c.integer("embedding_size")),
        num_groups(c.integer("num_groups")),
        output_stride(c.integer("output_stride")),
        depths(per_stage(c, "depths", stage_count(c, "depths"))),
        hidden_act(c.string("hidden_act")),
        same_padding(is_same(c)),
        dynamic_padding(c.flag("embedding_dynamic_padding")),
        preactivation(layer_type(c) == "preactivation") {
    c.harmless({"stage_names"});
    const std::int64_t factor = moderate(c, "width_factor");
    for (const std::int64_t size : per_stage(c, "hidden_sizes", std::ssize(depths)))
      channels.push_back(round_channels(static_cast<double>(size * factor), 8, 8));
    channels.resize(depths.size());
  }

 private:
  static std::string layer_type(const PretrainedConfig& c) {
    std::string type = c.string("layer_type");
    if (type == "preactivation" || type == "bottleneck") return type;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: layer_type is '{}', expected preactivation or bottleneck", c.origin(), type));
  }
  // The original knows VALID too, but the blocks fail with it, because they shrink the image.
  static bool is_same(const PretrainedConfig& c) {
    std::string padding = c.string("global_padding", "none");
    std::transform(padding.begin(), padding.end(), padding.begin(),
                   [](unsigned char letter) { return static_cast<char>(std::toupper(letter)); });
    if (padding == "SAME" || padding == "NONE") return padding == "SAME";
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: global_padding is '{}', expected null or SAME", c.origin(), padding));
  }
};

// The weight of each output with mean 0 and variance 1. (Qiao et al. 2019)
Weight standardized(const Weight& stored) {
  constexpr double eps = 1e-8;
  const std::vector<double> values = stored.to_doubles();
  const auto out = static_cast<std::size_t>(stored.shape()[0]);
  const std::size_t count = values.size() / out;
  std::vector<double> means(out), deviations(out);
  for (std::size_t i = 0; i < out; ++i) {
    const auto each = [&](std::size_t k) { return values[i * count + k]; };
    double sum = 0, squares = 0;
    for (std::size_t k = 0; k < count; ++k) sum += each(k);
    means[i] = sum / static_cast<double>(count);
    for (std::size_t k = 0; k < count; ++k) squares += (each(k) - means[i]) * (each(k) - means[i]);
    deviations[i] = std::sqrt(squares / static_cast<double>(count) + eps);
  }
  const std::vector<std::int64_t> per_output = {stored.shape()[0], 1, 1, 1};
  const Weight mean = Weight::from_doubles(DType::f32, per_output, means);
  const Weight deviation = Weight::from_doubles(DType::f32, per_output, deviations);
  return stored.cast(DType::f32).sub(mean).div(deviation).named(stored.name() + ".standardized");
}

struct Kernel {
  std::int64_t size = 1, stride = 1, dilation = 1;
};

struct Convolution {
  nn::Conv2d convolution;
  bool same_padding;

  Convolution(const Scope& s, const BitConfig& c, std::int64_t in, std::int64_t out, const Kernel& k = {})
      : convolution(make(s, in, out, k)), same_padding(c.same_padding && k.stride > 1) {}

  static nn::Conv2d make(const Scope& s, std::int64_t in, std::int64_t out, const Kernel& k) {
    const std::int64_t around = (k.stride - 1 + k.dilation * (k.size - 1)) / 2;
    return {
        s.path(),
        standardized(s.weight("weight", {out, in, k.size, k.size})),
        {},
        {.stride = {k.stride, k.stride}, .padding = {around, around}, .dilation = {k.dilation, k.dilation}}};
  }

  Value operator()(Value x) const { return same_padding ? convolution.with_same_padding(x) : convolution(x); }
};

// The place of a block in its stage.
struct Place {
  std::int64_t in, out, stride, dilation;
  bool first;
};

/// Three convolutions, the middle one with fewer channels, and a shortcut around them.
struct Block {
  std::string path;
  bool preactivation;
  nn::Activation activation;
  std::vector<Convolution> convolutions;
  std::vector<nn::GroupNorm> norms;
  std::optional<Convolution> downsample;
  std::optional<nn::GroupNorm> downsample_norm;

  Block(const Scope& s, const BitConfig& c, const Place& p)
      : path(s.path()), preactivation(c.preactivation), activation(c.hidden_act) {
    const std::int64_t mid = round_channels(static_cast<double>(p.out) * 0.25, 8, 8);
    // The original uses dilation only in one of the two kinds of layers.
    const Kernel middle{.size = 3, .stride = p.stride, .dilation = c.preactivation ? 1 : p.dilation};
    convolutions = {Convolution(s / "conv1", c, p.in, mid), Convolution(s / "conv2", c, mid, mid, middle),
                    Convolution(s / "conv3", c, mid, p.out)};
    norms = {nn::GroupNorm(s / "norm1", c.num_groups, c.preactivation ? p.in : mid),
             nn::GroupNorm(s / "norm2", c.num_groups, mid),
             nn::GroupNorm(s / "norm3", c.num_groups, c.preactivation ? mid : p.out)};
    if (!p.first) return;
    downsample.emplace(s / "downsample" / "conv", c, p.in, p.out, Kernel{.stride = p.stride});
    if (!c.preactivation) downsample_norm.emplace(s / "downsample" / "norm", c.num_groups, p.out);
  }

  Value operator()(Value x) const {
    const ModulePath at(x, path);
    return preactivation ? norms_first(x) : norms_last(x);
  }

 private:
  Value norms_first(Value x) const {
    Value y = activation(norms[0](x));
    const Value shortcut = downsample ? (*downsample)(y) : x;
    y = convolutions[0](y);
    y = convolutions[1](activation(norms[1](y)));
    y = convolutions[2](activation(norms[2](y)));
    return op::add(y, shortcut);
  }
  Value norms_last(Value x) const {
    const Value shortcut = downsample ? (*downsample_norm)((*downsample)(x)) : x;
    x = activation(norms[0](convolutions[0](x)));
    x = activation(norms[1](convolutions[1](x)));
    x = norms[2](convolutions[2](x));
    return activation(op::add(x, shortcut));
  }
};

// Zeros around an image, which count for the pooling after it.
Value with_zeros(Value x, const Dim& above, const Dim& left) {
  return op::pad(x, {0, 0, above, left}, {0, 0, 1, 1});
}

Value stem(const Scope& s, const BitConfig& c, Value pixel_values) {
  Value x = Convolution(s / "convolution", c, c.num_channels, c.embedding_size,
                        {.size = 7, .stride = 2})(pixel_values);
  const ModulePath at(x, s.path());
  if (!c.same_padding) x = with_zeros(x, 1, 1);
  if (!c.preactivation) {
    const nn::GroupNorm norm(s / "norm", c.num_groups, c.embedding_size);
    x = nn::Activation(c.hidden_act)(norm(x));
  }
  // TensorFlow's "same" padding for a kernel of 3 and a stride of 2: none before an even extent.
  const auto odd = [](const Dim& extent) { return 2 * (extent + 1).floor_div(2) - extent; };
  if (c.dynamic_padding) x = with_zeros(x, odd(x.dim(2)), odd(x.dim(3)));
  return op::max_pool2d(x, {3, 3}, {.stride = {2, 2}});
}

// The results of the stem and of all stages.
std::vector<Value> encode(const Scope& s, const BitConfig& c, Value pixel_values) {
  std::vector<Value> states = {stem(s / "embedder", c, pixel_values)};
  std::int64_t in = c.embedding_size, shrunk = 4, dilation = 1;
  for (std::size_t stage = 0; stage < c.depths.size(); ++stage) {
    // When the image has reached its final size, kernels are dilated instead.
    std::int64_t stride = stage == 0 ? 1 : 2;
    if (shrunk >= c.output_stride) {
      dilation *= stride;
      stride = 1;
    }
    shrunk *= stride;
    const Scope layers = s / "encoder" / "stages" / static_cast<std::int64_t>(stage) / "layers";
    Value x = states.back();
    for (std::int64_t i = 0; i < c.depths[stage]; ++i) {
      const std::int64_t first_dilation = dilation <= 2 ? 1 : 2;
      x = Block(layers / i, c,
                {.in = in,
                 .out = c.channels[stage],
                 .stride = i == 0 ? stride : 1,
                 .dilation = i == 0 ? first_dilation : dilation,
                 .first = i == 0})(x);
      in = c.channels[stage];
    }
    states.push_back(x);
  }
  return states;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const BitConfig c(model.config());
  model.config().harmless({"out_features", "out_indices"});  // of a backbone
  const Scope root = model.scope();
  const Scope bit = root.base_model("bit");
  Value hidden = encode(bit, c, inputs["pixel_values"]).back();
  const std::int64_t width = c.channels.back();
  if (c.preactivation) {
    const nn::GroupNorm norm(bit / "norm", c.num_groups, width);
    hidden = nn::Activation(c.hidden_act)(norm(hidden));
  }
  const Value pooled = nn::global_average_pool(hidden);
  if (component.task == "feature-extraction") return pooled_features(hidden, pooled);
  return {{"logits", nn::Linear(root / "classifier" / 1, width, c.num_labels)(pooled)}};
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const BitConfig c(config);
  const std::vector<std::int64_t> stages = backbone_stages(config, std::ssize(c.depths));
  const Scope bit = s / "bit";
  bit.ignore("norm");  // only behind the last stage of the other tasks
  return stage_features(encode(bit, c, pixel_values), stages);
}

}  // namespace

void register_bit(TasksManager& tasks) {
  tasks.register_model<PooledFeaturesOnnxConfig>({.model_type = "bit",
                                                  .tasks = {"feature-extraction", "image-classification"},
                                                  .forward = forward,
                                                  .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
