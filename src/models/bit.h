/// Big Transfer (BiT) as a backbone: a ResNet with standardized weights and group norms. Original:
/// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bit/modeling_bit.py
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/definition.h"

namespace onnxport::models {

struct BitConfig {
  /// Throws ExportError for what is not built: layers other than "bottleneck", padding other than "SAME", an
  /// output_stride below 32 (dilated stages).
  explicit BitConfig(const PretrainedConfig& config);

  std::int64_t num_channels, embedding_size, num_groups;
  std::vector<std::int64_t> depths;      ///< layers of each stage
  std::vector<std::int64_t> channels;    ///< that each stage gives
  std::vector<std::int64_t> out_stages;  ///< the feature maps: 0 is the stem
  std::string hidden_act;
  bool dynamic_padding;  ///< in front of the pooling of the stem
};

/// pixel_values [B, C, H, W] of one size -> the feature maps [B, channels, H', W'] of the stages. Keys: bit.
std::vector<Value> bit_feature_maps(const Scope& s, const BitConfig& c, Value pixel_values);

}  // namespace onnxport::models
