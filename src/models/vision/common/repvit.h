/// RepViT, a network of convolutions. (Wang et al. 2023)
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

struct RepViTParameters {
  std::int64_t channels = 3;
  std::vector<std::int64_t> widths, depths;  ///< channels and blocks of each stage
  /// The 1 x 1 convolutions of the first version have norms of their own; later, their sum has one.
  bool norm_each = false;
};

/// The parameters of a network of the library timm, by its name and its arguments. Throws
/// ExportError(unsupported | bad_config) for another name and for invalid arguments.
RepViTParameters repvit_parameters(const PretrainedConfig& origin, const std::string& name,
                                   const PretrainedConfig& model_args);

/// Images [B, channels, H, W] -> the results of all stages, [B, width, H', W']. Keys: those of timm, with
/// stages_{i}.
std::vector<Value> repvit_features(const Scope& s, const RepViTParameters& p, Value pixel_values);

}  // namespace onnxport::models
