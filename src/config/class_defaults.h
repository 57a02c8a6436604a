/// Defaults of the original configuration classes, by model type.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace onnxport::config {

/// The declarations of a type's class as an object, or null if the type is unknown. "" means the base class
/// of all configurations, and "<type>.<key>" a nested object without a type. Parses only that entry.
std::shared_ptr<const nlohmann::json> class_defaults(std::string_view model_type);

/// Whether the table of version 5 declares the type, and that of version 4 does not.
bool only_in_version_5(std::string_view model_type);

/// Adds or replaces the entry of a type.
void register_class_defaults(const std::string& model_type, const std::string& json);

}  // namespace onnxport::config
