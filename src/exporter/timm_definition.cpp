#include "exporter/timm_definition.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "config/json.h"
#include "onnxport/error.h"
#include "onnxport/family.h"
#include "support/text.h"

namespace onnxport {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::string_view kKey = "architecture", kLibrary = "timm";

std::string without_weights(std::string_view architecture) {
  return std::string(architecture.substr(0, architecture.find('.')));
}

bool contains(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

namespace exporter {

bool is_timm_folder(const fs::path& folder) {
  std::error_code ignored;
  const fs::path file = folder / "config.json";
  if (!fs::exists(file, ignored)) return false;
  try {
    const json values = config::parse_json(config::read_json_text(file), file.string());
    return values.is_object() && values.contains(kKey) && !values.contains("model_type");
  } catch (const ExportError&) {
    return false;  // whoever reads the file complains
  }
}

PretrainedConfig read_timm_config(const fs::path& folder) {
  const fs::path file = folder / "config.json";
  const std::string text = config::read_json_text(file);
  const json values = config::parse_json(text, file.string());
  const auto named = values.is_object() ? values.find(kKey) : values.end();
  if (named == values.end() || !named->is_string() || named->get<std::string>().empty()) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: key '{}' is missing, expected the name of an architecture of timm, such "
                    "as \"resnet50\"",
                    file.string(), kKey));
  }
  return PretrainedConfig::from_json(text, file.string(), without_weights(named->get<std::string>()));
}

std::shared_ptr<const ModelDefinition> family_of(const TasksManager& tasks, const PretrainedConfig& config) {
  return get_family(tasks, config.unaccounted().string(kKey), config.origin());
}

}  // namespace exporter

std::shared_ptr<const ModelDefinition> get_family(const TasksManager& tasks, std::string_view architecture,
                                                  const std::string& origin) {
  const std::string name = without_weights(architecture);
  std::vector<std::string> families, all;
  for (const auto& definition : tasks.definitions()) {
    const std::vector<std::string> names = architectures_of(*definition);
    if (contains(names, name)) return definition;
    if (names.empty()) continue;
    families.push_back(definition->model_type);
    all.insert(all.end(), names.begin(), names.end());
  }
  const std::vector<std::string> near = text::nearest(name, all);
  throw ExportError(
      ErrorCode::unsupported,
      fmt::format(
          "{}: architecture '{}' of timm is not supported; {}families that are: {}; docs/kinds/timm.md "
          "lists their architectures and explains how to add one",
          origin, name, near.empty() ? "" : fmt::format("similar ones are: {}; ", text::join(near)),
          families.empty() ? "none" : text::join(families)));
}

std::vector<std::string> architectures_of(const ModelDefinition& definition) {
  return definition.library == kLibrary ? definition.modules : std::vector<std::string>();
}

}  // namespace onnxport
