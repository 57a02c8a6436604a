// Original: https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/repvit.py
#include "models/vision/common/repvit.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "onnxport/error.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/conv_layer.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kMlpRatio = 2;  // that of all networks of timm, like the kernel
constexpr std::int64_t kKernel = 3;

// Keys: c, bn.
nn::NormedConv2d normed(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel = 1,
                        std::int64_t stride = 1, std::int64_t groups = 1) {
  const std::int64_t around = kernel / 2;
  const op::ConvOptions options = {.stride = {stride, stride}, .padding = {around, around}, .groups = groups};
  return {nn::Conv2d(s / "c", in, out, {kernel, kernel}, false, options), nn::BatchNorm2d(s / "bn", out)};
}

// A 3 x 3 convolution of each channel, plus a 1 x 1 convolution, plus the image: one 3 x 3 convolution.
nn::Conv2d token_mixer(const Scope& s, std::int64_t width, const RepViTParameters& p) {
  const std::vector<std::int64_t> each = {width, 1, 1, 1};
  const auto scaled = [&](const Weight& weight, const Weight& scale) {
    return weight.cast(DType::f32).mul(scale.reshape(each));
  };
  const nn::BatchNorm2d norm(s / "conv" / "bn", width);
  const Weight wide = scaled((s / "conv" / "c").weight("weight", {width, 1, kKernel, kKernel}), norm.scale());
  const Scope point = s / "conv1";
  Weight narrow, shift;
  if (p.norm_each) {
    const nn::BatchNorm2d own(point / "bn", width);
    narrow = scaled((point / "c").weight("weight", each), own.scale());
    shift = own.shift();
  } else {
    narrow = point.weight("weight", each).cast(DType::f32);
    shift = point.weight("bias", {width}).cast(DType::f32);
  }
  const double one = 1;
  std::vector<double> centre(static_cast<std::size_t>(kKernel * kKernel));
  centre[centre.size() / 2] = 1;
  Weight weight = narrow.add(Weight::from_doubles(DType::f32, {}, {&one, 1}))
                      .mul(Weight::from_doubles(DType::f32, {1, 1, kKernel, kKernel}, centre))
                      .add(wide);
  Weight bias = norm.shift().add(shift);
  if (!p.norm_each) {
    const nn::BatchNorm2d last(s / "bn", width);
    weight = scaled(weight, last.scale());
    bias = bias.mul(last.scale()).add(last.shift());
  }
  return {s.path(),
          weight.named(s.path() + ".weight"),
          bias.named(s.path() + ".bias"),
          {.padding = {kKernel / 2, kKernel / 2}, .groups = width}};
}

// x + conv2(gelu(conv1(x)))
Value channel_mixer(const Scope& s, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t width = *x.dim(1).constant(), inner = width * kMlpRatio;
  const Value wide = op::gelu(normed(s / "conv1", width, inner)(x));
  return op::add(x, normed(s / "conv2", inner, width)(wide));
}

Value block(const Scope& s, const RepViTParameters& p, bool gate, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t width = *x.dim(1).constant();
  x = token_mixer(s / "token_mixer", width, p)(x);
  if (gate) {
    const std::int64_t reduced = std::max<std::int64_t>(8, (width / 4 + 4) / 8 * 8);
    x = nn::SqueezeExcite(s / "se",
                          {.channels = width, .reduced = reduced, .reduce = "fc1", .expand = "fc2"})(x);
  }
  return channel_mixer(s / "channel_mixer", x);
}

Value halve(const Scope& s, const RepViTParameters& p, std::int64_t width, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t in = *x.dim(1).constant();
  x = block(s / "pre_block", p, false, x);
  x = normed(s / "spatial_downsample", in, in, kKernel, 2, in)(x);
  x = normed(s / "channel_downsample", in, width)(x);
  return channel_mixer(s / "ffn", x);
}

}  // namespace

RepViTParameters repvit_parameters(const PretrainedConfig& origin, const std::string& name,
                                   const PretrainedConfig& args) {
  static const std::map<std::string, RepViTParameters, std::less<>> known = {
      {"repvit_m1", {3, {48, 96, 192, 384}, {2, 2, 14, 2}, true}},
      {"repvit_m2", {3, {64, 128, 256, 512}, {2, 2, 12, 2}, true}},
      {"repvit_m3", {3, {64, 128, 256, 512}, {4, 4, 18, 2}, true}},
      {"repvit_m0_9", {3, {48, 96, 192, 384}, {2, 2, 14, 2}, false}},
      {"repvit_m1_0", {3, {56, 112, 224, 448}, {2, 2, 14, 2}, false}},
      {"repvit_m1_1", {3, {64, 128, 256, 512}, {2, 2, 12, 2}, false}},
      {"repvit_m1_5", {3, {64, 128, 256, 512}, {4, 4, 24, 4}, false}},
      {"repvit_m2_3", {3, {80, 160, 320, 640}, {6, 6, 34, 2}, false}}};
  const auto found = known.find(name.substr(0, name.find('.')));  // after a dot: the name of the weights
  if (found == known.end()) {
    std::vector<std::string> names;
    for (const auto& [one, parameters] : known) names.push_back(one);
    throw ExportError(ErrorCode::unsupported, fmt::format("{}: architecture '{}' of timm, expected one of {}",
                                                          origin.origin(), name, fmt::join(names, ", ")));
  }
  RepViTParameters p = found->second;
  p.channels = args.integer("in_chans", p.channels);
  p.norm_each = args.flag("legacy", p.norm_each);
  if (args.has("embed_dim")) p.widths = args.integers("embed_dim");
  if (args.has("depth")) p.depths = args.integers("depth");
  constexpr std::int64_t kLargest = std::int64_t{1} << 20;
  constexpr std::size_t kMostStages = 16;
  const auto sensible = [](std::int64_t value) { return value >= 1 && value <= kLargest; };
  const bool sizes = std::all_of(p.widths.begin(), p.widths.end(), sensible) &&
                     std::all_of(p.depths.begin(), p.depths.end(), sensible) && sensible(p.channels);
  const bool stages =
      !p.widths.empty() && p.widths.size() <= kMostStages && p.depths.size() >= p.widths.size();
  if (!sizes || !stages || p.widths[0] % 2 != 0) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: embed_dim [{}], depth [{}] and in_chans {} of the backbone; expected "
                                  "positive numbers for up to {} stages, the first width even",
                                  origin.origin(), fmt::join(p.widths, ", "), fmt::join(p.depths, ", "),
                                  p.channels, kMostStages));
  }
  return p;
}

std::vector<Value> repvit_features(const Scope& s, const RepViTParameters& p, Value pixel_values) {
  const ModulePath at(pixel_values, s.path());
  const std::int64_t first = p.widths[0];
  Value x = op::gelu(normed(s / "stem" / "conv1", p.channels, first / 2, kKernel, 2)(pixel_values));
  x = normed(s / "stem" / "conv2", first / 2, first, kKernel, 2)(x);
  std::vector<Value> stages;
  for (std::size_t i = 0; i < p.widths.size(); ++i) {
    const Scope stage = s / fmt::format("stages_{}", i);
    if (i > 0) x = halve(stage / "downsample", p, p.widths[i], x);
    for (std::int64_t j = 0; j < p.depths[i]; ++j) x = block(stage / "blocks" / j, p, j % 2 == 0, x);
    stages.push_back(x);
  }
  return stages;
}

}  // namespace onnxport::models
