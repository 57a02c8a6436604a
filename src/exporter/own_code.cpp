#include "exporter/own_code.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config/json.h"
#include "exporter/task_name.h"
#include "support/text.h"

namespace onnxport::exporter {
namespace {

using nlohmann::json;

constexpr std::string_view kGeneration = "text-generation";

/// A key that makes a decoder's code attend in both directions, and the value with which it does so.
struct Bidirectional {
  std::string_view key;
  bool value;
};
constexpr Bidirectional kBidirectional[] = {{"is_causal", false}, {"use_bidirectional_attention", true}};

bool generates(const ModelDefinition& definition) {
  return std::any_of(definition.tasks.begin(), definition.tasks.end(),
                     [](const std::string& task) { return base_task(task) == kGeneration; });
}

/// Whether the model is a decoder, or wraps one (Sentence Transformers).
bool is_decoder(const PretrainedConfig& config, const ModelDefinition& definition) {
  if (generates(definition)) return true;
  if (!definition.parts) return false;
  const std::vector<ModelPart> parts = definition.parts(config.unaccounted());
  return std::any_of(parts.begin(), parts.end(),
                     [](const ModelPart& part) { return part.key.empty() && generates(*part.definition); });
}

}  // namespace

std::vector<std::string> own_code_notices(const PretrainedConfig& config) {
  const json values = config::parse_json(config.text(), config.origin());
  const auto map = values.find("auto_map");
  if (map == values.end() || !map->is_object()) return {};
  std::vector<std::string> classes;
  for (const auto& [name, value] : map->items()) {
    const bool counts = name == "AutoConfig" || name.starts_with("AutoModel");
    if (!counts || !value.is_string()) continue;
    auto text = value.get<std::string>();
    if (std::find(classes.begin(), classes.end(), text) == classes.end()) classes.push_back(std::move(text));
  }
  if (classes.empty()) return {};
  return {
      fmt::format("{}: auto_map names code of the repository's own ({}), which is not run; the export "
                  "follows the class '{}' of transformers, so compare its outputs with the original's",
                  config.origin(), text::join(classes), config.model_type())};
}

std::vector<std::string> contradictions(const PretrainedConfig& config, const ModelDefinition& definition,
                                        const std::string& task) {
  if (base_task(task) == kGeneration || !is_decoder(config, definition)) return {};
  const std::vector<std::string> unread = config.unknown_keys();
  const json values = config::parse_json(config.text(), config.origin());
  std::vector<std::string> complaints;
  for (const auto& [key, value] : kBidirectional) {
    if (std::find(unread.begin(), unread.end(), key) == unread.end()) continue;
    if (values.at(std::string(key)) != value) continue;
    complaints.push_back(fmt::format(
        "{} sets {} = {}: the original's own code attends in both directions, but the definition of "
        "'{}' is causal; --ignore-unexpected exports the causal model",
        config.origin(), key, value, config.model_type()));
  }
  return complaints;
}

}  // namespace onnxport::exporter
