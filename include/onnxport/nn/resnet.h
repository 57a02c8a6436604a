/// Residual networks of convolutions (He et al. 2015), with the batch norms folded into the convolutions.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/conv.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// The convolutions of a block, and the one that has its stride.
enum class ResNetLayer {
  basic,          ///< two 3x3; the first has the stride
  bottleneck,     ///< 1x1, 3x3, 1x1 with a quarter of the channels; the 3x3 has the stride
  bottleneck_v1,  ///< the same; the first 1x1 has the stride
};

struct ResNetParameters {
  std::int64_t num_channels = 3;
  std::int64_t embedding_size = 64;                ///< channels after the stem
  std::vector<std::int64_t> hidden_sizes, depths;  ///< channels and blocks of each stage
  ResNetLayer layer = ResNetLayer::bottleneck;
  std::string activation = "relu";
  bool downsample_in_first_stage = false;
};

/// A block: convolutions, and a shortcut that makes the input fit their output.
class ONNXPORT_API ResNetBlock {
 public:
  /// `shortcut` may be empty: the input fits as it is.
  ResNetBlock(std::vector<NormedConv2d> layers, std::function<Value(Value)> shortcut, Activation activation)
      : layers_(std::move(layers)), shortcut_(std::move(shortcut)), activation_(std::move(activation)) {}
  Value operator()(Value x) const;

 private:
  std::vector<NormedConv2d> layers_;
  std::function<Value(Value)> shortcut_;
  Activation activation_;
};

/// Stem and stages. Keys: embedder.embedder.convolution|normalization,
/// encoder.stages.{i}.layers.{j}.layer.{k}.convolution|normalization,
/// encoder.stages.{i}.layers.{j}.shortcut.convolution|normalization. (transformers.ResNetModel)
class ONNXPORT_API ResNet {
 public:
  /// Throws ExportError(bad_config) if the sizes of the stages are invalid.
  ResNet(const Scope& s, const ResNetParameters& p);
  /// Images [B, num_channels, H, W] -> the results of the stem and each stage, [B, channels, H', W'].
  std::vector<Value> operator()(Value pixel_values) const;

 private:
  NormedConv2d stem_;
  Activation activation_;
  std::vector<std::vector<ResNetBlock>> stages_;
};

/// The mean over all pixels: [B, C, H, W] -> [B, C].
ONNXPORT_API Value global_average_pool(Value x);

}  // namespace onnxport::nn
