/// The version of the library that saved a configuration.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

namespace onnxport::config {

/// The major number of `transformers_version`, or 4; at least 5 for a type that version 4 does not have.
std::int64_t major_version(const nlohmann::json& values, std::string_view model_type);

}  // namespace onnxport::config
