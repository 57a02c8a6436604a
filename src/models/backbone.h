/// What types that offer themselves as backbones have in common.
#pragma once

#include <vector>

#include "models/definition.h"

namespace onnxport::models {

/// The features of an encoder of patches, from the states of its embeddings and layers: tokens. Throws
/// ExportError(unsupported) where the configuration asks for images.
BackboneFeatures token_features(const PretrainedConfig& config, Value pixel_values,
                                const std::vector<Value>& states);

/// Of the states of a stem and its stages those that the configuration chooses.
BackboneFeatures stage_features(const PretrainedConfig& config, const std::vector<Value>& states);

}  // namespace onnxport::models
