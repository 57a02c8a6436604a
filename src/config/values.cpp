#include "config/values.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace onnxport::config {

using nlohmann::json;

std::optional<std::int64_t> to_integer(const json& value) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())
    return {};
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (!value.is_number_float()) return {};
  constexpr double exact = 9007199254740992.0;  // 2^53: beyond it a float does not name one integer
  const double number = value.get<double>();
  if (std::trunc(number) != number || std::abs(number) > exact) return {};
  return static_cast<std::int64_t>(number);
}

std::optional<double> to_real(const json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  return {};
}

std::optional<bool> to_flag(const json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer() && (value == 0 || value == 1)) return value == 1;
  return {};
}

std::optional<std::string> to_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  return {};
}

std::int64_t major_version(const json& values) {
  constexpr std::int64_t usual = 4;
  const auto it = values.find("transformers_version");
  if (it == values.end() || !it->is_string()) return usual;
  const auto text = it->get<std::string>();
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() ? number : usual;
}

}  // namespace onnxport::config
