/// What a lookup expects, and how it takes it.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace onnxport::config {

// Each takes a value of the wrong type as nothing.

inline std::optional<std::int64_t> to_integer(const nlohmann::json& value) {
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > std::numeric_limits<std::int64_t>::max())
    return {};
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (!value.is_number_float()) return {};
  constexpr double exact = 9007199254740992.0;  // 2^53: beyond it a float does not name one integer
  const double number = value.get<double>();
  if (std::trunc(number) != number || std::abs(number) > exact) return {};
  return static_cast<std::int64_t>(number);
}

inline std::optional<double> to_real(const nlohmann::json& value) {
  if (value.is_number()) return value.get<double>();
  if (value == "inf") return std::numeric_limits<double>::infinity();
  if (value == "-inf") return -std::numeric_limits<double>::infinity();
  if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
  return {};
}

inline std::optional<bool> to_flag(const nlohmann::json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number_integer() && (value == 0 || value == 1)) return value == 1;
  return {};
}

inline std::optional<std::string> to_text(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  return {};
}

inline std::optional<std::vector<std::int64_t>> to_integers(const nlohmann::json& value) {
  if (!value.is_array()) return {};
  std::vector<std::int64_t> list;
  for (const nlohmann::json& item : value) {
    const std::optional<std::int64_t> number = to_integer(item);
    if (!number) return {};
    list.push_back(*number);
  }
  return list;
}

template <class T>
struct Expected;
template <>
struct Expected<std::int64_t> {
  static constexpr const char* one = "an integer";
  static constexpr const char* many = "a list of integers";
  static constexpr auto take = to_integer;
};
template <>
struct Expected<std::vector<std::int64_t>> {
  static constexpr const char* many = "a list of lists of integers";
  static constexpr auto take = to_integers;
};
template <>
struct Expected<double> {
  static constexpr const char* one = "a number";
  static constexpr const char* many = "a list of numbers";
  static constexpr auto take = to_real;
};
template <>
struct Expected<bool> {
  static constexpr const char* one = "true or false";
  static constexpr auto take = to_flag;
};
template <>
struct Expected<std::string> {
  static constexpr const char* one = "a string";
  static constexpr const char* many = "a list of strings";
  static constexpr auto take = to_text;
};

}  // namespace onnxport::config
