/// Shared parts of Depth Anything and its variant with prompts.
#pragma once

#include <cstdint>

#include "models/common/definition.h"
#include "models/vision/common/dpt_encoder.h"
#include "models/vision/common/dpt_neck.h"

namespace onnxport::models {

/// Throws ExportError(bad_config | unsupported).
struct DepthAnythingConfig : DptNeckConfig {
  explicit DepthAnythingConfig(const PretrainedConfig& config);

  std::int64_t patch_size, head_hidden_size;
  double max_depth;
  bool metric;  ///< else relative
};

/// The tokens of the backbone. `root`: of the checkpoint.
DptStates depth_anything_tokens(const TasksManager& tasks, const Scope& root, const PretrainedConfig& config,
                                Value pixel_values);

/// The head: an image [B, fusion_hidden_size, H, W] -> [B, 1, rows * patch_size, columns * patch_size],
/// between 0 and 1 if it is metric. Keys: conv1, conv2, conv3.
Value depth_anything_head(const Scope& s, const DepthAnythingConfig& c, Value x, const Dim& rows,
                          const Dim& columns);

}  // namespace onnxport::models
