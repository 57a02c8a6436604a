#include "onnxport/modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "config/json.h"
#include "onnxport/error.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// "./1_Pooling/" -> "1_Pooling", "." -> "".
std::string folder_of(const std::string& path, const std::string& origin) {
  const fs::path normal = fs::path(path).lexically_normal();
  if (normal.is_absolute() || std::find(normal.begin(), normal.end(), "..") != normal.end()) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: the path '{}' is not inside the folder of modules.json", origin, path));
  }
  std::string text = normal.generic_string();
  while (text.ends_with('/')) text.pop_back();
  return text == "." ? "" : text;
}

}  // namespace

std::string SentenceModule::kind() const {
  return type.starts_with("sentence_transformers.") ? type.substr(type.rfind('.') + 1) : "";
}

std::string SentenceModule::file(std::string_view name) const {
  return path.empty() ? std::string(name) : fmt::format("{}/{}", path, name);
}

std::vector<SentenceModule> parse_modules(std::string_view text, const std::string& origin) {
  const json list = config::parse_json(text, origin);
  const auto check = [&](bool valid, const json& got) {
    if (valid) return;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: expected a list of modules with a 'type' and a 'path', got {}", origin,
                                  config::brief(got)));
  };
  check(list.is_array() && !list.empty(), list);
  std::vector<SentenceModule> modules;
  for (const json& entry : list) {
    check(entry.is_object() && entry.contains("type") && entry["type"].is_string(), entry);
    const json path = entry.value("path", json(""));
    check(path.is_string() && !entry["type"].get<std::string>().empty(), entry);
    modules.push_back({entry["type"].get<std::string>(), folder_of(path.get<std::string>(), origin)});
  }
  return modules;
}

std::vector<SentenceModule> read_modules(const fs::path& folder) {
  const fs::path file = folder / "modules.json";
  std::error_code ignored;
  if (!fs::exists(file, ignored)) return {};
  return parse_modules(config::read_json_text(file), file.string());
}

}  // namespace onnxport
