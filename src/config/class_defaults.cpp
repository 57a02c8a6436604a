#include "config/class_defaults.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "config/json.h"
#include "onnxport/error.h"

namespace onnxport::config {
namespace {

constexpr std::pair<std::string_view, std::string_view> built_in[] = {
#include "config/class_defaults.inc"
#include "config/class_defaults_v5.inc"
};

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
  const auto* const entry = std::find_if(std::begin(built_in), std::end(built_in),
                                         [&](const auto& e) { return e.first == model_type; });
  if (entry == std::end(built_in)) return nullptr;
  return std::make_shared<const nlohmann::json>(nlohmann::json::parse(entry->second));
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
