/// Objects inside config.json from the metadata of GGUF files.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "onnxport/gguf.h"

namespace onnxport::models {

/// The numbers that a file has, under their names in config.json: pairs of such a name and of a key below
/// `<architecture>.`.
nlohmann::json numbers_of(const GgufInfo& file, const std::vector<std::pair<const char*, const char*>>& keys);

}  // namespace onnxport::models
