/// Defaults of the original configuration classes, by model type.
#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace onnxport::config {

/// What the class of a type declares, as an object, or null when the type is unknown. "" stands for the base
/// class of all configurations, "<type>.<key>" for a nested object that has no type of its own. Parses only
/// that one entry.
std::shared_ptr<const nlohmann::json> class_defaults(std::string_view model_type);

/// Adds or replaces the entry of a type.
void register_class_defaults(const std::string& model_type, const std::string& json);

}  // namespace onnxport::config
