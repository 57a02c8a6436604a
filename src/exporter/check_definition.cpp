#include "exporter/check_definition.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "exporter/role_defaults.h"
#include "onnxport/error.h"

namespace onnxport::exporter {
namespace {

/// What the names in ModelDefinition::modules are, by the libraries that find a definition by them.
constexpr std::pair<std::string_view, std::string_view> kModules[] = {
    {"sentence_transformers", "modules"}, {"timm", "architectures"}, {"diffusers", "classes"}};

}  // namespace

void check_definition(const ModelDefinition& definition) {
  const auto refuse = [&](std::string_view what) {
    throw ExportError(ErrorCode::invalid_argument,
                      fmt::format("definition of '{}' has no {}", definition.model_type, what));
  };
  if (definition.model_type.empty()) refuse("model type");
  if (definition.library.empty()) refuse("library");
  if (definition.tasks.empty() && definition.roles.all().empty()) refuse("tasks");
  if (!definition.forward && (!definition.tasks.empty() || needs_forward(definition.roles)))
    refuse("forward function");
  if (!definition.onnx_config) refuse("configuration class");
  for (const auto& [library, what] : kModules)
    if (definition.library == library && definition.modules.empty()) refuse(what);
}

}  // namespace onnxport::exporter
