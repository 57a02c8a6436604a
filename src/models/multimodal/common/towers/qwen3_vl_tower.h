/// The vision tower of Qwen3-VL, and of Qwen3.5: a table of positions resampled for each image, and features
/// of several layers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/multimodal/common/decoders/qwen_vl.h"

namespace onnxport::models {

struct Qwen3VlTowerConfig : PatchTowerConfig {
  /// `config`: vision_config. Throws ExportError(bad_config).
  explicit Qwen3VlTowerConfig(const PretrainedConfig& config);

  std::int64_t inner, out, grid;  ///< grid: places of the table on a side
  std::string hidden_act;
  /// The layers whose results become further features. A file without deepstack_visual_indexes means 8, 16
  /// and 24.
  std::vector<std::int64_t> deepstack = {8, 16, 24};
};

/// pixel_values [num_patches, elements] and image_grid_thw [num_images, 3] -> [num_image_tokens, out * (1 +
/// n)]: the features of the last layer, then those of the n layers of `deepstack`, side by side. Keys are
/// below `s` (`visual`).
Value encode_qwen3_vl(const Scope& s, const Inputs& inputs, const Qwen3VlTowerConfig& c);

}  // namespace onnxport::models
