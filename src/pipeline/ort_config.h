/// ort_config.json: the settings of Optimum's quantizer and optimizer.
#pragma once

#include <filesystem>
#include <string>

#include "onnxport/onnx_files.h"

namespace onnxport::pipeline {

inline constexpr const char* kOrtConfig = "ort_config.json";

/// The text of the file for these options, as Optimum 2.1 writes it.
std::string ort_config_text(const QuantizeOptions& options);

}  // namespace onnxport::pipeline
