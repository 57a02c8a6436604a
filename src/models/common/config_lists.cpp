#include "models/common/config_lists.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "onnxport/error.h"

namespace onnxport::models {
namespace {

using nlohmann::json;

// The value in the file.
json value_of(const PretrainedConfig& config, const char* key) {
  config.harmless({key});  // it is read here
  // The text of a changed copy is that of this object alone.
  return json::parse(config.with("model_type", json(config.model_type()).dump()).text()).value(key, json());
}

[[noreturn]] void fail(const PretrainedConfig& config, const char* key, const json& value,
                       const char* expected) {
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: {} is {}, expected {}", config.origin(), key, value.dump(), expected));
}

// Whether all numbers of a list, and of the lists in it, could be added.
bool add_numbers(const json& value, std::vector<std::int64_t>& numbers) {
  constexpr std::int64_t kLargest = std::int64_t{1} << 20;
  if (value.is_array()) {
    for (const json& item : value)
      if (!add_numbers(item, numbers)) return false;
    return true;
  }
  if (!value.is_number_integer() || value < 1 || value > kLargest) return false;
  numbers.push_back(value.get<std::int64_t>());
  return true;
}

}  // namespace

std::vector<bool> flags(const PretrainedConfig& config, const char* key, std::vector<bool> fallback) {
  if (!config.given(key)) return fallback;
  const json value = value_of(config, key);
  constexpr const char* kExpected = "a list of true and false";
  if (!value.is_array()) fail(config, key, value, kExpected);
  std::vector<bool> list;
  for (const json& item : value) {
    if (!item.is_boolean()) fail(config, key, value, kExpected);
    list.push_back(item.get<bool>());
  }
  return list;
}

std::vector<std::vector<std::int64_t>> integer_lists(const PretrainedConfig& config, const char* key,
                                                     std::vector<std::vector<std::int64_t>> fallback) {
  if (!config.given(key)) return fallback;
  const json value = value_of(config, key);
  constexpr const char* kExpected = "a list of lists of positive numbers";
  if (!value.is_array()) fail(config, key, value, kExpected);
  std::vector<std::vector<std::int64_t>> lists;
  for (const json& item : value) {
    if (!item.is_array() || !add_numbers(item, lists.emplace_back())) fail(config, key, value, kExpected);
  }
  return lists;
}

}  // namespace onnxport::models
