/// Values of config.json as the types that lookups expect.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace onnxport::config {

// Nothing if the value has another type.

std::optional<std::int64_t> to_integer(const nlohmann::json& value);
std::optional<double> to_real(const nlohmann::json& value);
std::optional<bool> to_flag(const nlohmann::json& value);
std::optional<std::string> to_text(const nlohmann::json& value);

/// The major number of `transformers_version`, or 4.
std::int64_t major_version(const nlohmann::json& values);

/// What an error calls a value of the type, and a list of such values, and the function above that takes it.
template <class T>
struct Expected;
template <>
struct Expected<std::int64_t> {
  static constexpr const char* one = "an integer";
  static constexpr const char* many = "a list of integers";
  static constexpr auto take = to_integer;
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
