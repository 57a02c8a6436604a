/// Lists that are written in a shorter form.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace onnxport::config {

/// A list of [list of strings, how often], written out: [[["a", "b"], 2]] is a, b, a, b. Nothing for other
/// values, and for more than 65536 strings.
std::optional<std::vector<std::string>> repeated_list(const nlohmann::json& value);

}  // namespace onnxport::config
