#include "onnxport/nn/resnet.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::nn {

namespace {

using Stages = std::vector<std::vector<ResNetBlock>>;

NormedConv2d conv(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel,
                  std::int64_t stride) {
  const std::int64_t padding = kernel / 2;
  const Conv2d bare(s / "convolution", in, out, {kernel, kernel}, false,
                    {.stride = {stride, stride}, .padding = {padding, padding}});
  return {bare, BatchNorm2d(s / "normalization", out)};
}

ResNetBlock block(const Scope& s, const ResNetParameters& p, std::int64_t in, std::int64_t out,
                  std::int64_t stride) {
  const Scope layer = s / "layer";
  std::vector<NormedConv2d> layers;
  if (p.layer != ResNetLayer::basic) {
    const std::int64_t inner = out / 4;
    const std::int64_t first = p.layer == ResNetLayer::bottleneck_v1 ? stride : 1;
    layers.push_back(conv(layer / 0, in, inner, 1, first));
    layers.push_back(conv(layer / 1, inner, inner, 3, stride / first));
    layers.push_back(conv(layer / 2, inner, out, 1, 1));
  } else {
    layers.push_back(conv(layer / 0, in, out, 3, stride));
    layers.push_back(conv(layer / 1, out, out, 3, 1));
  }
  std::function<Value(Value)> shortcut;
  if (in != out || stride != 1) shortcut = conv(s / "shortcut", in, out, 1, stride);
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

Stages stages(const Scope& s, const ResNetParameters& p) {
  Stages all;
  std::int64_t in = p.embedding_size;
  for (std::size_t i = 0; i < p.hidden_sizes.size(); ++i) {
    const Scope layers = s / static_cast<std::int64_t>(i) / "layers";
    std::vector<ResNetBlock>& blocks = all.emplace_back();
    for (std::int64_t j = 0; j < p.depths[i]; ++j) {
      const bool shrinks = j == 0 && (i > 0 || p.downsample_in_first_stage);
      blocks.push_back(block(layers / j, p, in, p.hidden_sizes[i], shrinks ? 2 : 1));
      in = p.hidden_sizes[i];
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
    : stem_((check(p), conv(s / "embedder" / "embedder", p.num_channels, p.embedding_size, 7, 2))),
      activation_(p.activation),
      stages_(stages(s / "encoder" / "stages", p)) {}

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
