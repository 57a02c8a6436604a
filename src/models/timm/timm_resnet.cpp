// ResNet, ResNeXt, Wide ResNet, SE-ResNet, SENet, ECA-ResNet and ResNet-RS. Original:
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/resnet.py
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <utility>

#include "models/timm/common/family.h"
#include "models/timm/common/resnet_architectures.h"
#include "models/vision/common/stages.h"
#include "onnxport/nn/conv_layer.h"
#include "onnxport/nn/pooling.h"

namespace onnxport::models {
namespace {

struct Config : TimmResNet {
  std::vector<std::int64_t> channels;
  std::int64_t output_stride;
  std::string activation;

  explicit Config(const TimmConfig& c) : TimmResNet(architecture_in(resnet_architectures(), c)) {
    layers = c.integers("layers", layers);
    channels = c.integers("channels", {64, 128, 256, 512});
    groups = c.positive("cardinality", groups);
    base_width = c.positive("base_width", base_width);
    stem_width = c.positive("stem_width", stem_width);
    stem = c.string("stem_type", stem);
    conv_pool = c.flag("replace_stem_pool", conv_pool);
    reduce_first = c.positive("block_reduce_first", reduce_first);
    down_kernel = c.positive("down_kernel_size", down_kernel);
    average_down = c.flag("avg_down", average_down);
    activation = c.string("act_layer", "relu");
    output_stride = c.integer("output_stride", 32);
    if (layers.size() != channels.size() || layers.empty()) {
      c.fail(fmt::format("model_args.layers has {} numbers and channels {}, expected as many of both",
                         layers.size(), channels.size()));
    }
    for (const std::int64_t planes : channels) {
      constexpr std::int64_t kMost = 1 << 20;
      if (planes < 1 || planes > kMost || base_width > kMost || groups > kMost || inner(planes) < 1)
        c.fail(fmt::format("a stage of {} channels, with base_width {} and cardinality {}", planes,
                           base_width, groups));
    }
    if (output_stride != 8 && output_stride != 16 && output_stride != 32)
      c.fail(fmt::format("output_stride {} of a ResNet, expected 8, 16 or 32", output_stride));
    if (output_stride != 32 && average_down)
      c.refuse(fmt::format("output_stride {} with avg_down, expected 32", output_stride));
    if (!stem.empty() && stem != "deep" && stem != "deep_tiered")
      c.fail(fmt::format("stem_type is '{}', expected deep, deep_tiered or nothing", stem));
  }

  std::int64_t expansion() const { return basic ? 1 : 4; }
  // The width of the 3x3 convolution in a bottleneck.
  std::int64_t inner(std::int64_t planes) const { return planes * base_width / 64 * groups; }
  std::int64_t stem_channels() const { return stem.empty() ? 64 : 2 * stem_width; }
};

struct Steps {
  std::int64_t stride = 1, first_dilation = 1, dilation = 1;
};

nn::ConvLayer layer(const Scope& s, const Config& c, int number, nn::ConvLayerParameters p, bool activate) {
  p.convolution = fmt::format("conv{}", number);
  p.norm = fmt::format("bn{}", number);
  if (activate) p.activation = c.activation;
  return {s, p};
}

// Efficient channel attention: gates from the means of neighbouring channels. (Wang et al. 2019) Key:
// conv.weight [1, 1, kernel]
Value neighbour_gates(const Scope& s, std::int64_t channels, Value x) {
  const ModulePath at(x, s.path());
  const auto reach = static_cast<std::int64_t>((std::log2(static_cast<double>(channels)) + 1) / 2);
  const std::int64_t kernel = std::max<std::int64_t>(reach % 2 == 1 ? reach : reach + 1, 3);
  const Value means = op::transpose(op::mean(op::flatten(x, 2, 3), 2, true), 1, 2);
  const nn::Conv1d mix(s / "conv", 1, 1, kernel, false, {.padding = {kernel / 2}});
  const Value gates = op::unsqueeze(op::transpose(op::sigmoid(mix(means)), 1, 2), 3);
  return op::mul(x, gates);
}

Value gated(const Scope& block, const Config& c, std::int64_t channels, Value x) {
  if (c.gate == TimmResNetGate::none) return x;
  const Scope s = block / "se";
  if (c.gate == TimmResNetGate::neighbours) return neighbour_gates(s, channels, x);
  const double share = c.gate == TimmResNetGate::quarter ? 1.0 / 4 : 1.0 / 16;
  const std::int64_t reduced = round_channels(static_cast<double>(channels) * share, 8, 8, 0);
  return nn::SqueezeExcite(s,
                           {.channels = channels, .reduced = reduced, .reduce = "fc1", .expand = "fc2"})(x);
}

Value shortcut(const Scope& s, const Config& c, std::int64_t in, std::int64_t out, const Steps& steps,
               Value x) {
  const bool shrinks = steps.stride != 1 || steps.dilation != 1;
  if (c.average_down) {
    if (steps.stride != 1)
      x = nn::average_pool2d(x,
                             {.kernel = {2, 2}, .stride = {2, 2}, .count_padding = false, .partial = true});
    return nn::ConvLayer(s, {.in = in, .out = out, .convolution = "1", .norm = "2"})(x);
  }
  const std::int64_t kernel = shrinks ? c.down_kernel : 1;
  return nn::ConvLayer(s, {.in = in,
                           .out = out,
                           .kernel = kernel,
                           .stride = steps.stride,
                           .dilation = kernel > 1 ? steps.first_dilation : 1,
                           .convolution = "0",
                           .norm = "1"})(x);
}

Value run_block(const Scope& s, const Config& c, std::int64_t in, std::int64_t planes, const Steps& steps,
                bool adapt, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t out = planes * c.expansion();
  Value y;
  if (c.basic) {
    const std::int64_t first = planes / c.reduce_first;
    y = layer(s, c, 1,
              {.in = in, .out = first, .kernel = 3, .stride = steps.stride, .dilation = steps.first_dilation},
              true)(x);
    y = layer(s, c, 2, {.in = first, .out = out, .kernel = 3, .dilation = steps.dilation}, false)(y);
  } else {
    const std::int64_t width = c.inner(planes), first = width / c.reduce_first;
    y = layer(s, c, 1, {.in = in, .out = first}, true)(x);
    y = layer(s, c, 2,
              {.in = first,
               .out = width,
               .kernel = 3,
               .stride = steps.stride,
               .dilation = steps.first_dilation,
               .groups = c.groups},
              true)(y);
    y = layer(s, c, 3, {.in = width, .out = out}, false)(y);
  }
  y = gated(s, c, out, y);
  if (adapt) x = shortcut(s / "downsample", c, in, out, steps, x);
  return timm_activation(c.activation)(op::add(y, x));
}

Value run_stem(const Scope& s, const TimmConfig& timm, const Config& c, Value x) {
  const std::int64_t channels = c.stem_channels(), in = timm.num_channels();
  if (c.stem.empty()) return layer(s, c, 1, {.in = in, .out = channels, .kernel = 7, .stride = 2}, true)(x);
  const Scope deep = s / "conv1";
  const std::int64_t first = c.stem == "deep_tiered" ? 3 * (c.stem_width / 4) : c.stem_width;
  x = nn::ConvLayer(deep, {.in = in,
                           .out = first,
                           .kernel = 3,
                           .stride = 2,
                           .activation = c.activation,
                           .convolution = "0",
                           .norm = "1"})(x);
  x = nn::ConvLayer(deep, {.in = first,
                           .out = c.stem_width,
                           .kernel = 3,
                           .activation = c.activation,
                           .convolution = "3",
                           .norm = "4"})(x);
  return nn::ConvLayer(s, {.in = c.stem_width,
                           .out = channels,
                           .kernel = 3,
                           .activation = c.activation,
                           .convolution = "conv1.6",
                           .norm = "bn1"})(x);
}

Value pool_stem(const Scope& s, const Config& c, Value x) {
  if (!c.conv_pool) return op::max_pool2d(x, {3, 3}, {.stride = {2, 2}, .padding = {1, 1}});
  const std::int64_t channels = c.stem_channels();
  return nn::ConvLayer(s / "maxpool", {.in = channels,
                                       .out = channels,
                                       .kernel = 3,
                                       .stride = 2,
                                       .activation = c.activation,
                                       .convolution = "0",
                                       .norm = "1"})(x);
}

// The results of the stem and of the stages up to number `last`.
std::vector<Value> run_stages(const Scope& s, const TimmConfig& timm, const Config& c, Value pixel_values,
                              std::int64_t last) {
  std::vector<Value> all = {run_stem(s, timm, c, pixel_values)};
  Value x = last > 0 ? pool_stem(s, c, all.front()) : all.front();
  std::int64_t in = c.stem_channels(), shrunk = 4, before = 1;
  Steps steps;
  for (std::size_t i = 0; i < c.layers.size() && static_cast<std::int64_t>(i) < last; ++i) {
    steps.stride = i == 0 ? 1 : 2;
    if (shrunk >= c.output_stride) {
      steps.dilation *= steps.stride;
      steps.stride = 1;
    }
    shrunk *= steps.stride;
    const std::int64_t out = c.channels[i] * c.expansion();
    const bool adapt = steps.stride != 1 || in != out;
    const Scope stage = s / fmt::format("layer{}", i + 1);
    for (std::int64_t j = 0; j < c.layers[i]; ++j) {
      const Steps of_block{j == 0 ? steps.stride : 1, before, steps.dilation};
      x = run_block(stage / j, c, in, c.channels[i], of_block, adapt && j == 0, x);
      before = steps.dilation;
      in = out;
    }
    all.push_back(x);
  }
  return all;
}

TimmOutputs run(const Scope& s, const TimmConfig& timm, Value pixel_values) {
  const Config c(timm);
  const Value x = run_stages(s, timm, c, pixel_values, TimmFamily::kAll).back();
  return {x, classify_image(s / "fc", timm, x, c.channels.back() * c.expansion())};
}

std::vector<Value> stages(const Scope& s, const TimmConfig& timm, Value pixel_values, std::int64_t last) {
  return run_stages(s, timm, Config(timm), pixel_values, last);
}

}  // namespace

void register_timm_resnet(TasksManager& tasks) {
  tasks.register_model<TimmOnnxConfig>(
      timm_definition({.name = "resnet",
                       .architectures = architectures_of(resnet_architectures()),
                       .run = run,
                       .stages = stages}));
}

}  // namespace onnxport::models
