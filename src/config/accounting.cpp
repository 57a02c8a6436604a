#include "config/accounting.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "config/harmless.h"
#include "config/json.h"

namespace onnxport::config {
namespace {

using nlohmann::json;

/// Python code asks `if config.key`: null says the same as false or an empty container there.
bool same_value(const json& value, const json& default_value) {
  const auto says_no = [](const json& v) {
    return v.is_null() || (v.is_boolean() && !v.get<bool>()) || (v.is_structured() && v.empty());
  };
  return value == default_value || (value.is_null() && says_no(default_value)) ||
         (default_value.is_null() && says_no(value));
}

}  // namespace

std::string Part::qualified(std::string_view key) const {
  return path.empty() ? std::string(key) : fmt::format("{}.{}", path, key);
}

const json* Part::default_of(std::string_view key) const {
  for (const json* table : {defaults.get(), is_knob() ? nullptr : base.get()}) {
    if (table == nullptr) continue;
    if (const auto it = table->find(key); it != table->end()) return &*it;
  }
  return nullptr;
}

std::string_view Part::spelling(std::string_view key) const {
  for (const Rename& rename : renames) {
    if (rename.read != key || (!rename.wins && values->contains(key))) continue;
    const auto written = values->find(rename.written);
    if (written != values->end() && !written->is_null()) return rename.written;
  }
  return key;
}

std::string_view list_of(std::string_view key) { return key.substr(0, key.find('[')); }

const json* Part::find(std::string_view key) const {
  const std::string_view name = list_of(key);
  const auto it = values->find(spelling(name));
  const json* const value = it != values->end() ? &*it : default_of(name);
  if (name == key) return value;
  std::size_t index = 0;
  const char* const end = key.data() + key.size();
  const auto [stop, error] = std::from_chars(key.data() + name.size() + 1, end, index);
  const bool is_index = error == std::errc() && stop + 1 == end && *stop == ']';
  if (!is_index || value == nullptr || !value->is_array() || index >= value->size()) return nullptr;
  return &(*value)[index];
}

void Accounting::gave(const Part& part, std::string_view key, json value) {
  std::vector<json>& given = read_[part.path][std::string(key)];
  if (std::find(given.begin(), given.end(), value) == given.end()) given.push_back(std::move(value));
}

bool Accounting::is_harmless(const Part& part, std::string_view key) const {
  return harmless_.contains(part.qualified(key)) || config::is_harmless(key, part.declared_by_class(key));
}

bool Accounting::answered(const Part& part, std::string_view key) const {
  const auto lookups = read_.find(part.path);
  const auto was_read = [&](std::string_view one) {
    return lookups != read_.end() && lookups->second.contains(one);
  };
  const bool needs_no_answer =
      is_harmless(part, key) || matters_only_if_read(key, part.declared_by_class(key));
  if (was_read(key) || needs_no_answer) return true;
  // The second name of a key is answered with the key.
  return std::any_of(part.renames.begin(), part.renames.end(), [&](const Rename& rename) {
    return rename.written == key && (was_read(rename.read) || is_harmless(part, rename.read));
  });
}

std::vector<std::string> Accounting::unread_knobs() const {
  std::vector<std::string> knobs;
  for (const auto& [path, part] : parts_) {
    for (const auto& [key, value] : part.values->items()) {
      const json* const default_value = part.default_of(key);
      if ((default_value == nullptr && !part.is_knob()) || answered(part, key)) continue;
      if (default_value != nullptr && same_value(value, *default_value)) continue;
      knobs.push_back(fmt::format(
          "{} = {} ({})", part.qualified(key), brief(value),
          default_value != nullptr ? "default " + brief(*default_value) : std::string("no default")));
    }
  }
  return knobs;
}

std::vector<std::string> Accounting::unknown_keys() const {
  std::vector<std::string> keys;
  for (const auto& [path, part] : parts_) {
    if (part.is_knob()) continue;
    for (const auto& [key, value] : part.values->items()) {
      if (part.default_of(key) == nullptr && !answered(part, key)) keys.push_back(part.qualified(key));
    }
  }
  return keys;
}

std::vector<ReadKey> Accounting::read_keys() const {
  std::vector<ReadKey> keys;
  for (const auto& [path, lookups] : read_) {
    const Part& part = parts_.at(path);
    for (const auto& [key, values] : lookups) {
      if (is_harmless(part, key)) continue;
      for (const json& value : values)
        keys.push_back(
            {path, part.model_type, key, value.dump(-1, ' ', false, json::error_handler_t::replace)});
    }
  }
  return keys;
}

}  // namespace onnxport::config
