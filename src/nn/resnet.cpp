#include "onnxport/nn/resnet.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::nn {

namespace {

using Stages = std::vector<std::vector<ResNetBlock>>;

// The scopes of a convolution and the norm after it.
struct Place {
  Scope convolution, norm;
};

struct Keys {
  Scope s;
  bool timm;

  Place of(const Scope& at) const { return {at / "convolution", at / "normalization"}; }
  Place stem() const { return timm ? Place{s / "conv1", s / "bn1"} : of(s / "embedder" / "embedder"); }
  Scope block(std::int64_t stage, std::int64_t i) const {
    return timm ? s / fmt::format("layer{}", stage + 1) / i : s / "encoder" / "stages" / stage / "layers" / i;
  }
  Place layer(const Scope& block, std::int64_t i) const {
    if (!timm) return of(block / "layer" / i);
    return {block / fmt::format("conv{}", i + 1), block / fmt::format("bn{}", i + 1)};
  }
  Place shortcut(const Scope& block) const {
    return timm ? Place{block / "downsample" / 0, block / "downsample" / 1} : of(block / "shortcut");
  }
};

NormedConv2d conv(const Place& at, std::int64_t in, std::int64_t out, std::int64_t kernel,
                  std::int64_t stride, std::int64_t dilation = 1) {
  const std::int64_t padding = kernel / 2 * dilation;
  const Conv2d bare(
      at.convolution, in, out, {kernel, kernel}, false,
      {.stride = {stride, stride}, .padding = {padding, padding}, .dilation = {dilation, dilation}});
  return {bare, BatchNorm2d(at.norm, out)};
}

// The effect of a stage on the image: its first block shrinks the image, or its kernels are dilated instead.
struct Steps {
  std::int64_t stride = 1;
  std::int64_t first_dilation = 1;  // of the first block's first 3x3
  std::int64_t dilation = 1;
};

ResNetBlock block(const Keys& keys, const Scope& at, const ResNetParameters& p, std::int64_t in,
                  std::int64_t out, const Steps& steps) {
  std::vector<NormedConv2d> layers;
  if (p.layer != ResNetLayer::basic) {
    const std::int64_t inner = out / 4;
    const std::int64_t first = p.layer == ResNetLayer::bottleneck_v1 ? steps.stride : 1;
    layers.push_back(conv(keys.layer(at, 0), in, inner, 1, first));
    layers.push_back(conv(keys.layer(at, 1), inner, inner, 3, steps.stride / first, steps.first_dilation));
    layers.push_back(conv(keys.layer(at, 2), inner, out, 1, 1));
  } else {
    layers.push_back(conv(keys.layer(at, 0), in, out, 3, steps.stride, steps.first_dilation));
    layers.push_back(conv(keys.layer(at, 1), out, out, 3, 1, steps.dilation));
  }
  std::function<Value(Value)> shortcut;
  if (in != out || steps.stride != 1) shortcut = conv(keys.shortcut(at), in, out, 1, steps.stride);
  return {std::move(layers), std::move(shortcut), Activation(p.activation)};
}

void check(const ResNetParameters& p) {
  const auto positive = [](std::int64_t n) { return n > 0; };
  const bool sizes = !p.hidden_sizes.empty() && p.hidden_sizes.size() == p.depths.size() &&
                     std::all_of(p.hidden_sizes.begin(), p.hidden_sizes.end(), positive) &&
                     std::all_of(p.depths.begin(), p.depths.end(), positive);
  if (!sizes || p.num_channels < 1 || p.embedding_size < 1) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format(
            "hidden_sizes [{}] and depths [{}] of a residual network: expected equally many positive numbers",
            fmt::join(p.hidden_sizes, ", "), fmt::join(p.depths, ", ")));
  }
}

Stages stages(const Keys& keys, const ResNetParameters& p) {
  Stages all;
  std::int64_t in = p.embedding_size, shrunk = 4, dilation = 1;
  for (std::size_t i = 0; i < p.hidden_sizes.size(); ++i) {
    Steps steps{.stride = i > 0 || p.downsample_in_first_stage ? 2 : 1, .first_dilation = dilation};
    if (p.output_stride && shrunk >= *p.output_stride) {
      dilation *= steps.stride;
      steps.stride = 1;
    }
    shrunk *= steps.stride;
    steps.dilation = dilation;
    std::vector<ResNetBlock>& blocks = all.emplace_back();
    for (std::int64_t j = 0; j < p.depths[i]; ++j) {
      const Scope at = keys.block(static_cast<std::int64_t>(i), j);
      blocks.push_back(block(keys, at, p, in, p.hidden_sizes[i], steps));
      in = p.hidden_sizes[i];
      steps = {.first_dilation = dilation, .dilation = dilation};
    }
  }
  return all;
}

}  // namespace

Value ResNetBlock::operator()(Value x) const {
  Value y = x;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    // The originals configure only the activation at the end of a block. Those inside it are always relu.
    if (i > 0) y = op::relu(y);
    y = layers_[i](y);
  }
  const Value residual = shortcut_ ? shortcut_(x) : x;
  return activation_(op::add(y, residual));
}

ResNet::ResNet(const Scope& s, const ResNetParameters& p)
    : stem_((check(p),
             conv(Keys{s, p.keys == ResNetKeys::timm}.stem(), p.num_channels, p.embedding_size, 7, 2))),
      activation_(p.activation),
      stages_(stages({s, p.keys == ResNetKeys::timm}, p)) {}

std::vector<Value> ResNet::operator()(Value pixel_values) const {
  const Value embedded = activation_(stem_(pixel_values));
  std::vector<Value> features = {op::max_pool2d(embedded, {3, 3}, {.stride = {2, 2}, .padding = {1, 1}})};
  for (const std::vector<ResNetBlock>& stage : stages_) {
    Value x = features.back();
    for (const ResNetBlock& one : stage) x = one(x);
    features.push_back(x);
  }
  return features;
}

Value global_average_pool(Value x) { return op::mean(op::flatten(x, 2, 3), 2); }

}  // namespace onnxport::nn
