/// The `quantization_config` of compressed-tensors.
#pragma once

#include "checkpoint/quantization.h"
#include "onnxport/config.h"

namespace onnxport {

/// How the weights are stored: the groups of `config_groups` in their order, and the modules to ignore. Keys
/// inside the groups are checked here; the others count as read. Throws ExportError(unsupported) for formats
/// and keys that are not known, and ExportError(bad_config) for invalid values.
/// https://github.com/vllm-project/compressed-tensors/blob/0.20.1/src/compressed_tensors/quantization/quant_args.py
Quantization read_compressed(const PretrainedConfig& config);

}  // namespace onnxport
