/// Shared parts of the Mistral types of transformers 5.
#pragma once

#include "onnxport/config.h"
#include "onnxport/nn/position_scale.h"
#include "onnxport/nn/rotary.h"

namespace onnxport::models {

/// How queries grow with their position: `llama_4_scaling_beta` of the settings of the rotation, and the
/// length that those give. Throws ExportError(bad_config) if they have no such key.
nn::PositionScale position_scale(const PretrainedConfig& config, const nn::RopeParameters& rope);

}  // namespace onnxport::models
