/// Errors about settings that no model has.
#pragma once

#include <fmt/format.h>

#include <string_view>

#include "onnxport/config.h"
#include "onnxport/error.h"

namespace onnxport::models {

/// Throws ExportError(bad_config) that names the file.
[[noreturn]] inline void refuse(const PretrainedConfig& config, std::string_view what) {
  throw ExportError(ErrorCode::bad_config, fmt::format("{}: {}", config.origin(), what));
}

}  // namespace onnxport::models
