/// The `quantization_config` of a config.json.
#pragma once

#include "checkpoint/quantization.h"
#include "onnxport/config.h"

namespace onnxport {

/// How the weights beside this configuration are quantized. Its `quantization_config` counts as read, but for
/// keys in it that nobody knows. Throws ExportError(unsupported) for a method other than fp8 and mxfp4, and
/// ExportError(bad_config) for values that make no sense.
Quantization read_quantization(const PretrainedConfig& config);

}  // namespace onnxport
