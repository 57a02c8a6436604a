/// The version of the library that saved a configuration.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>

namespace onnxport::config {

/// The major number of `transformers_version`, or 4.
std::int64_t major_version(const nlohmann::json& values);

}  // namespace onnxport::config
