/// The metric heads of ZoeDepth: depths of bins for each pixel, and their shares.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// The range of depths that a head is for.
struct ZoeBins {
  std::string name;
  std::int64_t n_bins;
  double min_depth, max_depth;
};

/// Throws ExportError(bad_config | unsupported).
struct ZoeHeadConfig {
  explicit ZoeHeadConfig(const PretrainedConfig& config);

  std::int64_t bottleneck_features, bin_embedding_dim, num_relative_features, fusion_hidden_size;
  std::vector<std::int64_t> num_attractors;
  std::vector<ZoeBins> bins;  ///< one or two
  double min_temp, max_temp;
  bool mean, normed;  ///< of attractors, else their sum; whether depths have limits
  // Of the encoder that chooses between two heads.
  std::int64_t layers = 0, width = 0, inner = 0, heads = 0;
  std::string origin;
};

/// What the heads see.
struct ZoeFeatures {
  Value conditions;           ///< [B, num_relative_features, H, W], the size of the result
  Value bottleneck;           ///< [B, bottleneck_features, h, w]
  std::vector<Value> blocks;  ///< [B, fusion_hidden_size, …], from small to large
  Value relative_depth;       ///< [B, 1, H, W]
};

/// Depths [B, 1, H, W].
Value zoe_metric_head(const Scope& s, const ZoeHeadConfig& c, const ZoeFeatures& features);

}  // namespace onnxport::models
