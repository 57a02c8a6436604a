#include "exporter/sentence_definition.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"
#include "support/text.h"

namespace onnxport::exporter {
namespace {

constexpr std::string_view kLibrary = "sentence_transformers";

bool builds(const ModelDefinition& definition, const SentenceModule& module) {
  const std::vector<std::string>& kinds = definition.modules;
  return std::find(kinds.begin(), kinds.end(), module.kind()) != kinds.end();
}

/// "'Router'", or "'custom_st.Transformer', which is not a class of sentence_transformers".
std::string described(const SentenceModule& module) {
  const std::string kind = module.kind();
  return kind.empty() ? fmt::format("'{}' (not a class of sentence_transformers)", module.type)
                      : fmt::format("'{}'", kind);
}

/// "Transformer followed by Pooling or Dense; CLIPModel alone".
std::string known(const std::vector<std::shared_ptr<const ModelDefinition>>& definitions) {
  std::vector<std::string> texts;
  for (const auto& definition : definitions) {
    std::vector<std::string> kinds = definition->modules;
    std::string text = kinds.front();
    kinds.erase(kinds.begin());
    texts.push_back(text + (kinds.empty() ? " alone" : " followed by " + text::join(kinds)));
  }
  return text::join(texts, "; ");
}

}  // namespace

std::shared_ptr<const ModelDefinition> definition_of(const TasksManager& tasks,
                                                     const std::vector<SentenceModule>& modules,
                                                     const std::string& origin) {
  if (modules.empty())
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: no such file, expected a list of modules", origin));
  auto definitions = tasks.definitions();
  std::erase_if(definitions, [](const auto& one) { return one->library != kLibrary; });
  const auto found = std::find_if(definitions.begin(), definitions.end(), [&](const auto& one) {
    return one->modules.front() == modules.front().kind();
  });

  std::vector<std::string> unknown;
  for (const SentenceModule& module : modules) {
    const bool is_known = std::any_of(definitions.begin(), definitions.end(), [&](const auto& one) {
      return (found == definitions.end() || one == *found) && builds(*one, module);
    });
    std::string text = described(module);
    if (!is_known && std::find(unknown.begin(), unknown.end(), text) == unknown.end())
      unknown.push_back(std::move(text));
  }
  if (found == definitions.end() && unknown.empty()) unknown.push_back(described(modules.front()) + " first");
  if (unknown.empty()) return *found;
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("{}: {} not supported: {}; supported: {}", origin,
                                unknown.size() == 1 ? "a module is" : "some modules are", text::join(unknown),
                                known(definitions)));
}

}  // namespace onnxport::exporter
