// Big Transfer (BiT) as a backbone: a ResNet with standardized weights and group norms. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bit/modeling_bit.py
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "models/vision/common/backbone.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

struct BitConfig {
  /// Throws ExportError for unsupported settings: layers other than "bottleneck", padding other than "SAME",
  /// an output_stride below 32 (dilated stages).
  explicit BitConfig(const PretrainedConfig& config);

  std::int64_t num_channels, embedding_size, num_groups;
  std::vector<std::int64_t> depths;    ///< layers of each stage
  std::vector<std::int64_t> channels;  ///< that each stage gives
  std::string hidden_act;
  bool dynamic_padding;  ///< in front of the pooling of the stem
};

// Rounds to a multiple of 8, at least 8, and not below nine tenths of the value.
std::int64_t round_channels(double value) {
  const std::int64_t nearest = std::max<std::int64_t>(8, static_cast<std::int64_t>(value + 4) / 8 * 8);
  return static_cast<double>(nearest) < 0.9 * value ? nearest + 8 : nearest;
}

[[noreturn]] void refuse(const PretrainedConfig& c, const char* key, const std::string& got,
                         const char* expected) {
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("{}: {} of the backbone is {}, expected {}", c.origin(), key, got, expected));
}

// TensorFlow's "SAME" padding around an axis. It makes the stride divide the axis. An odd element comes at
// the end.
struct SamePadding {
  std::int64_t before = 0, behind = 0;

  SamePadding(const Dim& extent, std::int64_t kernel, std::int64_t stride) {
    const std::int64_t n = extent.constant().value();
    const std::int64_t all = std::max<std::int64_t>(((n + stride - 1) / stride - 1) * stride + kernel - n, 0);
    before = all / 2;
    behind = all - before;
  }
};

op::ConvOptions same_options(Value x, std::int64_t kernel, std::int64_t stride) {
  const SamePadding rows(x.dim(2), kernel, stride), columns(x.dim(3), kernel, stride);
  return {.stride = {stride, stride}, .padding = {rows.before, columns.before, rows.behind, columns.behind}};
}

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

struct Convolution {
  std::string path;
  std::int64_t kernel, stride;
  Weight weight;

  Convolution(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1)
      : path(s.path()),
        kernel(kernel),
        stride(stride),
        weight(standardized(s.weight("weight", {out, in, kernel, kernel}))) {}

  Value operator()(Value x) const {
    const ModulePath at(x, path);
    return op::conv2d(x, x.graph().weight(weight), {}, same_options(x, kernel, stride));
  }
};

/// Three convolutions, the middle one with fewer channels, and a shortcut around them.
struct Bottleneck {
  std::string path;
  Convolution conv1, conv2, conv3;
  nn::GroupNorm norm1, norm2, norm3;
  nn::Activation activation;
  std::optional<Convolution> downsample;
  std::optional<nn::GroupNorm> downsample_norm;

  Bottleneck(const Scope& s, const BitConfig& c, std::int64_t in, std::int64_t out, std::int64_t stride,
             bool first)
      : Bottleneck(s, c, in, round_channels(static_cast<double>(out) * 0.25), out, stride, first) {}

  Bottleneck(const Scope& s, const BitConfig& c, std::int64_t in, std::int64_t mid, std::int64_t out,
             std::int64_t stride, bool first)
      : path(s.path()),
        conv1(s / "conv1", in, mid, 1),
        conv2(s / "conv2", mid, mid, 3, stride),
        conv3(s / "conv3", mid, out, 1),
        norm1(s / "norm1", c.num_groups, mid),
        norm2(s / "norm2", c.num_groups, mid),
        norm3(s / "norm3", c.num_groups, out),
        activation(c.hidden_act) {
    if (!first) return;
    downsample.emplace(s / "downsample" / "conv", in, out, 1, stride);
    downsample_norm.emplace(s / "downsample" / "norm", c.num_groups, out);
  }

  Value operator()(Value x) const {
    const ModulePath at(x, path);
    const Value shortcut = downsample ? (*downsample_norm)((*downsample)(x)) : x;
    x = activation(norm1(conv1(x)));
    x = activation(norm2(conv2(x)));
    x = norm3(conv3(x));
    return activation(op::add(x, shortcut));
  }
};

Value stem(const Scope& s, const BitConfig& c, Value pixel_values) {
  const Convolution convolution(s / "convolution", c.num_channels, c.embedding_size, 7, 2);
  const nn::GroupNorm norm(s / "norm", c.num_groups, c.embedding_size);
  const nn::Activation activation(c.hidden_act);
  const Value x = activation(norm(convolution(pixel_values)));
  const ModulePath at(x, s.path());
  if (!c.dynamic_padding) return op::max_pool2d(x, {3, 3}, {.stride = {2, 2}});
  // The original pads with zeros. After a relu, where no value is smaller, this equals the op's padding.
  const op::ConvOptions options = same_options(x, 3, 2);
  if (c.hidden_act == "relu") return op::max_pool2d(x, {3, 3}, options);
  const std::vector<std::int64_t>& around = options.padding;
  const Value padded = op::pad(x, {0, 0, around[0], around[1]}, {0, 0, around[2], around[3]});
  return op::max_pool2d(padded, {3, 3}, {.stride = {2, 2}});
}

BitConfig::BitConfig(const PretrainedConfig& c)
    : num_channels(c.integer("num_channels")),
      embedding_size(c.integer("embedding_size")),
      num_groups(c.integer("num_groups")),
      depths(c.integers("depths")),
      hidden_act(c.string("hidden_act")),
      dynamic_padding(c.flag("embedding_dynamic_padding")) {
  if (const std::string type = c.string("layer_type"); type != "bottleneck")
    refuse(c, "layer_type", type, "bottleneck");
  std::string padding = c.string("global_padding", "none");
  std::transform(padding.begin(), padding.end(), padding.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::toupper(letter)); });
  if (padding != "SAME") refuse(c, "global_padding", padding, "SAME");
  if (const std::int64_t stride = c.integer("output_stride"); stride != 32)
    refuse(c, "output_stride", std::to_string(stride), "32");
  const std::vector<std::int64_t> sizes = c.integers("hidden_sizes");
  const std::int64_t factor = c.integer("width_factor");
  const auto bad = [](std::int64_t size) { return size < 1 || size > 1 << 20; };
  if (num_groups < 1 || depths.size() > 4 || sizes.size() < depths.size() || bad(factor) ||
      std::any_of(sizes.begin(), sizes.end(), bad)) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: a backbone of {} groups, {} depths, hidden_sizes [{}] and width_factor {}",
                    c.origin(), num_groups, depths.size(), fmt::join(sizes, ", "), factor));
  }
  for (std::size_t i = 0; i < depths.size(); ++i)
    channels.push_back(round_channels(static_cast<double>(sizes[i] * factor)));
}

// Images of one size.
BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const BitConfig c(config);
  const std::vector<std::int64_t> stages = backbone_stages(config, std::ssize(c.depths));
  const Scope bit = s / "bit";
  std::vector<Value> states = {stem(bit / "embedder", c, pixel_values)};
  std::int64_t in = c.embedding_size;
  for (std::size_t stage = 0; stage < c.depths.size(); ++stage) {
    const Scope layers = bit / "encoder" / "stages" / static_cast<std::int64_t>(stage) / "layers";
    Value x = states.back();
    for (std::int64_t i = 0; i < c.depths[stage]; ++i) {
      const std::int64_t stride = i == 0 && stage > 0 ? 2 : 1;
      x = Bottleneck(layers / i, c, in, c.channels[stage], stride, i == 0)(x);
      in = c.channels[stage];
    }
    states.push_back(x);
  }
  return stage_features(states, stages);
}

}  // namespace

void register_bit(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "bit", .tasks = {}, .forward = {}, .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
