/// Encoders inside of other models, by their own configuration (`backbone_config`).
#pragma once

#include <cstdint>
#include <vector>

#include "models/definition.h"

namespace onnxport::models {

/// The stages that a backbone gives, 0 (the stem) to `stages`, from out_features or out_indices.
std::vector<std::int64_t> backbone_stages(const PretrainedConfig& config, std::int64_t stages);

/// What an encoder of patches gives as a backbone.
struct TokenFeatures {
  std::vector<Value> states;  ///< of the chosen layers: [B, 1 + rows * columns, hidden_size]
  std::int64_t hidden_size = 0;
  Dim rows, columns;
};
/// A dinov2 or beit. Throws ExportError(unsupported) for other types, and for features as images.
TokenFeatures token_backbone(const Scope& s, const PretrainedConfig& config, Value pixel_values);

}  // namespace onnxport::models
