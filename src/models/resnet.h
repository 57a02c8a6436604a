/// Configurations of ResNet, of its own and inside of those that have it as a backbone.
#pragma once

#include "onnxport/config.h"
#include "onnxport/nn/resnet.h"

namespace onnxport::models {

/// The keys of a ResNetConfig. Throws ExportError(bad_config) for an unknown layer_type.
nn::ResNetParameters resnet_parameters(const PretrainedConfig& config);

}  // namespace onnxport::models
