/// MobileNetV5, the vision tower of Gemma 3n: the blocks of MobileNetV4, with attention, and root mean square
/// norms of the channels of each place.
#pragma once

#include <cstdint>

#include "models/common/definition.h"

namespace onnxport::models {

struct MobileNetV5 {
  double width = 1;              ///< multiplies channels
  std::int64_t resolution = 16;  ///< of the result, on a side
  static constexpr std::int64_t kFeatures = 2048;

  /// Reads the arguments of the architecture from a configuration of TimmWrapper. Throws
  /// ExportError(unsupported | bad_config).
  explicit MobileNetV5(const PretrainedConfig& config);

  /// Of the images on a side, of which the tower makes that resolution.
  std::int64_t image_size() const { return 48 * resolution; }
  /// pixels [B, 3, image_size, image_size] -> [B, kFeatures, resolution, resolution]
  Value operator()(const Scope& s, Value pixels) const;
};

}  // namespace onnxport::models
