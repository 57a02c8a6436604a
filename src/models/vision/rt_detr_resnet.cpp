// The ResNet of RT-DETR, only as a backbone: a stem of three convolutions, and shortcuts that take means
// instead of every second pixel. (He et al. 2019) Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/rt_detr/modeling_rt_detr_resnet.py
#include <fmt/format.h>

#include <algorithm>

#include "models/vision/common/backbone.h"
#include "onnxport/error.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {
namespace {

struct Config {
  explicit Config(const PretrainedConfig& c)
      : num_channels(c.integer("num_channels")),
        embedding_size(c.integer("embedding_size")),
        hidden_sizes(c.integers("hidden_sizes")),
        depths(c.integers("depths")),
        layer_type(c.string("layer_type")),
        hidden_act(c.string("hidden_act")),
        downsample_in_first_stage(c.flag("downsample_in_first_stage")),
        downsample_in_bottleneck(c.flag("downsample_in_bottleneck")) {
    c.harmless({"stage_names"});
    const auto positive = [](std::int64_t n) { return n > 0; };
    if (hidden_sizes.empty() || hidden_sizes.size() != depths.size() || num_channels < 1 ||
        embedding_size < 2 || !std::all_of(hidden_sizes.begin(), hidden_sizes.end(), positive) ||
        !std::all_of(depths.begin(), depths.end(), positive) ||
        (layer_type != "basic" && layer_type != "bottleneck")) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format(
              "{}: layer_type '{}', embedding_size {}, hidden_sizes [{}], depths [{}] of the backbone: "
              "expected basic or bottleneck, at least 2, and equally many positive numbers",
              c.origin(), layer_type, embedding_size, fmt::join(hidden_sizes, ", "),
              fmt::join(depths, ", ")));
    }
  }
  bool basic() const { return layer_type == "basic"; }

  std::int64_t num_channels, embedding_size;
  std::vector<std::int64_t> hidden_sizes, depths;
  std::string layer_type, hidden_act;
  bool downsample_in_first_stage, downsample_in_bottleneck;
};

nn::NormedConv2d conv(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel,
                      std::int64_t stride) {
  const op::ConvOptions options = {.stride = {stride, stride}, .padding = {kernel / 2, kernel / 2}};
  return {nn::Conv2d(s / "convolution", in, out, {kernel, kernel}, false, options),
          nn::BatchNorm2d(s / "normalization", out)};
}

// For each of ceil(extent / 2) pairs, 2 / the number of elements that exist: [pairs].
Value pair_factors(Graph& graph, const Dim& extent) {
  const Value first = op::mul(op::cast(op::arange(graph, (extent + 1).floor_div(2)), DType::f32), 2.0);
  const Value rest = op::sub(op::cast(op::size(graph, extent), DType::f32), first);
  const Value whole = op::scalar(graph, 2, DType::f32);
  return op::cast(op::div(whole, op::minimum(rest, 2.0)), graph.float_dtype());
}

// Means of 2 x 2 pixels; of those that exist, at the end of an odd axis. (torch.nn.AvgPool2d with ceil_mode)
Value halve(Value x) {
  const std::int64_t channels = *x.dim(1).constant();
  const std::vector<double> quarters(static_cast<std::size_t>(4 * channels), 0.25);
  const Value kernel = x.graph().weight(Weight::from_doubles(DType::f32, {channels, 1, 2, 2}, quarters));
  const op::ConvOptions options = {.stride = {2, 2}, .padding = {0, 0, 1, 1}, .groups = channels};
  Value means = op::conv2d(x, kernel, {}, options);
  if (x.dim(2).exact_div(2) && x.dim(3).exact_div(2)) return means;
  const Value down = op::unsqueeze(pair_factors(x.graph(), x.dim(2)), 1);
  return op::mul(means, op::mul(down, pair_factors(x.graph(), x.dim(3))));
}

nn::ResNetBlock block(const Scope& s, const Config& c, std::int64_t in, std::int64_t out, std::int64_t stride,
                      bool first) {
  const Scope layer = s / "layer";
  std::vector<nn::NormedConv2d> layers;
  if (c.basic()) {
    layers = {conv(layer / 0, in, out, 3, stride), conv(layer / 1, out, out, 3, 1)};
  } else {
    const std::int64_t inner = out / 4, early = c.downsample_in_bottleneck ? stride : 1;
    layers = {conv(layer / 0, in, inner, 1, early), conv(layer / 1, inner, inner, 3, stride / early),
              conv(layer / 2, inner, out, 1, 1)};
  }
  std::function<Value(Value)> shortcut;
  if (c.basic() ? first && in != out : stride == 2) {
    if (stride != 2) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: a first stage of {} channels behind {} must halve the image", s.path(), out, in));
    }
    shortcut = [fit = conv(s / "shortcut" / 1, in, out, 1, 1)](Value x) { return fit(halve(x)); };
  } else if (first && (c.basic() || in != out)) {
    shortcut = conv(s / "shortcut", in, out, 1, stride);
  }
  return {std::move(layers), std::move(shortcut), nn::Activation(c.hidden_act)};
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Config c(config);
  const std::vector<std::int64_t> stages = backbone_stages(config, std::ssize(c.depths));
  const nn::Activation activation(c.hidden_act);
  const std::int64_t half = c.embedding_size / 2;
  const std::int64_t widths[] = {c.num_channels, half, half, c.embedding_size};
  Value x = pixel_values;
  for (std::int64_t i = 0; i < 3; ++i)
    x = activation(conv(s / "embedder" / "embedder" / i, widths[i], widths[i + 1], 3, i == 0 ? 2 : 1)(x));
  std::vector<Value> all = {op::max_pool2d(x, {3, 3}, {.stride = {2, 2}, .padding = {1, 1}})};
  std::int64_t in = c.embedding_size;
  for (std::size_t i = 0; i < c.depths.size(); ++i) {
    const Scope stage = s / "encoder" / "stages" / static_cast<std::int64_t>(i) / "layers";
    x = all.back();
    for (std::int64_t j = 0; j < c.depths[i]; ++j) {
      const std::int64_t stride = j == 0 && (i > 0 || c.downsample_in_first_stage) ? 2 : 1;
      x = block(stage / j, c, in, c.hidden_sizes[i], stride, j == 0)(x);
      in = c.hidden_sizes[i];
    }
    all.push_back(x);
  }
  return stage_features(all, stages);
}

}  // namespace

void register_rt_detr_resnet(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "rt_detr_resnet", .tasks = {}, .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
