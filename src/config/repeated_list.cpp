#include "config/repeated_list.h"

#include <cstddef>
#include <cstdint>

#include "config/expected.h"

namespace onnxport::config {

std::optional<std::vector<std::string>> repeated_list(const nlohmann::json& value) {
  constexpr std::size_t kMost = 1 << 16;
  if (!value.is_array()) return {};
  std::vector<std::string> list;
  for (const nlohmann::json& item : value) {
    const bool fits = item.is_array() && item.size() == 2 && item[0].is_array();
    const std::optional<std::int64_t> times = fits ? to_integer(item[1]) : std::nullopt;
    if (!times || *times < 0) return {};
    for (std::int64_t i = 0; i < *times && !item[0].empty(); ++i) {
      for (const nlohmann::json& text : item[0]) {
        if (!text.is_string() || list.size() == kMost) return {};
        list.push_back(text.get<std::string>());
      }
    }
  }
  return list;
}

}  // namespace onnxport::config
