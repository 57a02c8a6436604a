/// DaViT: attention in windows of an image, then among groups of its channels. (Ding et al. 2022)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

struct DaVitConfig {
  /// vision_config. Throws ExportError(bad_config) for lists of different lengths, and widths that heads or
  /// groups do not divide.
  explicit DaVitConfig(const PretrainedConfig& config);

  struct Stage {
    std::int64_t in, width, depth, heads, groups;
    std::int64_t patch, stride, padding;  ///< of the convolution in front
    bool norm_first;                      ///< the norm is in front of the convolution
  };
  std::vector<Stage> stages;
  std::int64_t window;
  double mlp_ratio;
  bool qkv_bias;
  std::string activation;
};

/// Images [B, channels, H, W] of any size -> [B, width of the last stage, H', W']. Keys: convs.{i}.{conv,
/// norm}, blocks.{i}.{j}.{spatial_block, channel_block}.
Value encode_davit(const Scope& s, const DaVitConfig& c, Value images);

}  // namespace onnxport::models
