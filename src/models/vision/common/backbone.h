/// What types that offer themselves as backbones have in common.
#pragma once

#include <cstdint>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// The stages that a configuration chooses with out_features or out_indices, 0 (the stem) to `stages`.
std::vector<std::int64_t> backbone_stages(const PretrainedConfig& config, std::int64_t stages);
/// The same of an encoder of patches, whose layers are the stages. Throws ExportError(unsupported) where the
/// configuration asks for images.
std::vector<std::int64_t> token_stages(const PretrainedConfig& config);

/// Of the states of a stem and all stages the chosen ones.
BackboneFeatures stage_features(const std::vector<Value>& states, const std::vector<std::int64_t>& stages);
/// The same of an encoder of patches: tokens.
BackboneFeatures token_features(const PretrainedConfig& config, Value pixel_values,
                                const std::vector<Value>& states, const std::vector<std::int64_t>& stages);

}  // namespace onnxport::models
