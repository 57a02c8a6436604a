#include "config/class_defaults.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <span>
#include <utility>

#include "config/json.h"
#include "onnxport/error.h"
#include "support/json.h"

namespace onnxport::config {
namespace {

using Entry = std::pair<std::string_view, std::string_view>;
constexpr Entry of_version_4[] = {
#include "config/class_defaults.inc"
};
constexpr Entry of_version_5[] = {
#include "config/class_defaults_v5.inc"
};

const Entry* find_in(std::span<const Entry> table, std::string_view model_type) {
  const auto found =
      std::find_if(table.begin(), table.end(), [&](const Entry& entry) { return entry.first == model_type; });
  return found == table.end() ? nullptr : &*found;
}

/// Types from plugins. They take precedence over built-in ones.
struct Registered {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<const nlohmann::json>, std::less<>> entries;
};
Registered& registered() {
  static Registered instance;
  return instance;
}

}  // namespace

std::shared_ptr<const nlohmann::json> class_defaults(std::string_view model_type) {
  {
    Registered& table = registered();
    const std::lock_guard lock(table.mutex);
    if (const auto it = table.entries.find(model_type); it != table.entries.end()) return it->second;
  }
  const Entry* entry = find_in(of_version_4, model_type);
  if (entry == nullptr) entry = find_in(of_version_5, model_type);
  if (entry == nullptr) return nullptr;
  return std::make_shared<const nlohmann::json>(onnxport::parse_json<nlohmann::json>(entry->second));
}

bool only_in_version_5(std::string_view model_type) {
  return find_in(of_version_4, model_type) == nullptr && find_in(of_version_5, model_type) != nullptr;
}

void register_class_defaults(const std::string& model_type, const std::string& json) {
  const std::string origin = fmt::format("class defaults of '{}'", model_type);
  nlohmann::json defaults = parse_json(json, origin);
  if (model_type.empty() || !defaults.is_object()) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: expected a model type and a json object, got {}", origin, brief(defaults)));
  }
  Registered& table = registered();
  const std::lock_guard lock(table.mutex);
  table.entries[model_type] = std::make_shared<const nlohmann::json>(std::move(defaults));
}

}  // namespace onnxport::config
