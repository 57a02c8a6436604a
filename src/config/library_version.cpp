#include "config/library_version.h"

#include <charconv>
#include <string>

#include "config/class_defaults.h"

namespace onnxport::config {

using nlohmann::json;

std::int64_t major_version(const json& values, std::string_view model_type) {
  // Files of a newer type may name the version that its own code was written for.
  if (only_in_version_5(model_type)) return 5;
  constexpr std::int64_t usual = 4;
  const auto it = values.find("transformers_version");
  if (it == values.end() || !it->is_string()) return usual;
  const auto text = it->get<std::string>();
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() ? number : usual;
}

}  // namespace onnxport::config
