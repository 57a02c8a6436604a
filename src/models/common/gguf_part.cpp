#include "models/common/gguf_part.h"

#include <fmt/format.h>

namespace onnxport::models {

nlohmann::json numbers_of(const GgufInfo& file,
                          const std::vector<std::pair<const char*, const char*>>& keys) {
  nlohmann::json part = nlohmann::json::object();
  for (const auto& [key, stored] : keys) {
    const std::string name = fmt::format("{}.{}", file.architecture(), stored);
    if (const auto whole = file.integer(name)) {
      part[key] = *whole;
    } else if (const auto number = file.real(name)) {
      part[key] = *number;
    }
  }
  return part;
}

}  // namespace onnxport::models
