/// The `quantization_config` of a config.json.
#pragma once

#include "checkpoint/quantization.h"
#include "onnxport/config.h"

namespace onnxport {

/// How the weights of this configuration are quantized. Its `quantization_config` counts as read, except
/// unknown keys in it. Throws ExportError(unsupported) for other methods and formats than those of
/// checkpoint/quantization.h, and ExportError(bad_config) for invalid values.
Quantization read_quantization(const PretrainedConfig& config);

}  // namespace onnxport
