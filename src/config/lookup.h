/// Typed lookups in a configuration, with errors and accounting.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "config/accounting.h"
#include "config/expected.h"
#include "config/json.h"
#include "config/plausible.h"
#include "config/repeated_list.h"
#include "onnxport/config.h"
#include "onnxport/error.h"

namespace onnxport {
namespace config {

/// The file, shared by a configuration, its copies and its nested objects.
struct Source {
  std::string text;
  std::string origin;
  std::int64_t transformers_major;
};

}  // namespace config

struct PretrainedConfig::Impl {
  std::shared_ptr<const config::Source> source;
  std::shared_ptr<config::Accounting> accounting;
  config::Part part;

  const nlohmann::json* look_up(std::string_view key) const {
    accounting->read(part, key);
    return part.find(key);
  }

  [[noreturn]] void fail_type(std::string_view key, const nlohmann::json& value,
                              std::string_view expected) const {
    const bool too_large = expected.find("integer") != expected.npos && value.is_number() &&
                           !config::to_integer(value) &&
                           std::trunc(value.get<double>()) == value.get<double>();
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: key '{}' is {}, expected {}{}", source->origin, part.qualified(part.spelling(key)),
                    config::brief(value), expected, too_large ? " of 64 bits" : ""));
  }
  void check_range(std::string_view key, std::int64_t value) const {
    const config::Range range = config::plausible(key);
    if (range.contains(value)) return;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: key '{}' is {}, expected {} to {}", source->origin,
                                  part.qualified(part.spelling(key)), value, range.least, range.most));
  }
  [[noreturn]] void fail_absent(std::string_view key, const nlohmann::json* value,
                                std::string_view expected) const {
    if (value != nullptr && part.values->contains(key)) fail_type(key, *value, expected);
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: key '{}' is missing, expected {}; the class of '{}' has no default for it",
                    source->origin, part.qualified(key), expected, part.model_type));
  }

  template <class T>
  std::optional<T> take(std::string_view key) const {
    const nlohmann::json* const value = look_up(key);
    const bool none = value == nullptr || value->is_null();
    if (none || (std::is_same_v<T, std::int64_t> && *value == "auto")) return {};
    std::optional<T> taken = config::Expected<T>::take(*value);
    if (!taken) fail_type(key, *value, config::Expected<T>::one);
    if constexpr (std::is_same_v<T, std::int64_t>) check_range(key, *taken);
    return taken;
  }
  template <class T>
  std::optional<T> maybe(std::string_view key) const {
    std::optional<T> value = take<T>(key);
    accounting->gave(part, key, value ? nlohmann::json(*value) : nlohmann::json());
    return value;
  }
  template <class T>
  T one(std::string_view key, std::optional<T> fallback) const {
    std::optional<T> value = take<T>(key);
    if (!value) value = std::move(fallback);
    if (!value) fail_absent(key, part.find(key), config::Expected<T>::one);
    accounting->gave(part, key, *value);
    return *std::move(value);
  }
  template <class T>
  std::vector<T> many(std::string_view key) const {
    const nlohmann::json* value = look_up(key);
    // Constructors replace a None by the list that they declare; none of them works without one.
    const nlohmann::json* const declared = part.default_of(key);
    if (value != nullptr && value->is_null() && declared != nullptr) value = declared;
    if (value == nullptr || value->is_null()) fail_absent(key, value, config::Expected<T>::many);
    std::vector<T> list;
    for (const nlohmann::json& item : value->is_array() ? *value : nlohmann::json::array({*value})) {
      std::optional<T> taken = config::Expected<T>::take(item);
      if (!taken) fail_type(key, *value, config::Expected<T>::many);
      if constexpr (std::is_same_v<T, std::int64_t>) check_range(key, *taken);
      list.push_back(*std::move(taken));
    }
    accounting->gave(part, key, list);
    return list;
  }

  std::vector<std::string> repeated(std::string_view key) const {
    constexpr std::string_view kExpected = "a list of [list of strings, how often]";
    const nlohmann::json* const value = look_up(key);
    if (value == nullptr || value->is_null()) fail_absent(key, value, kExpected);
    const auto list = config::repeated_list(*value);
    if (!list) fail_type(key, *value, kExpected);
    accounting->gave(part, key, *list);
    return *list;
  }
};

}  // namespace onnxport
