#include "layout/genai_steps.h"

#include <fmt/format.h>

#include <utility>

#include "exporter/preprocessors.h"
#include "onnxport/error.h"

namespace onnxport::layout {

using nlohmann::ordered_json;

PretrainedConfig settings_of(const ExportPlan& plan, const char* part) {
  const auto read = [&](const char* file) {
    return PretrainedConfig::from_json(plan.model.read_file(file), (plan.model.folder() / file).string(),
                                       part);
  };
  if (plan.model.has_file(exporter::kProcessorFile)) {
    const PretrainedConfig shared = read(exporter::kProcessorFile);
    if (shared.given(part)) return shared.sub(part, part);
  }
  if (plan.model.has_file(exporter::kPreprocessorFile)) return read(exporter::kPreprocessorFile);
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("--layout genai: '{}' is missing, and '{}' in that folder has no {}; they "
                                "describe the inputs of the model",
                                (plan.model.folder() / exporter::kPreprocessorFile).string(),
                                exporter::kProcessorFile, part));
}

ordered_json operation(const char* name, const char* type, ordered_json attributes) {
  ordered_json made = {{"name", name}, {"type", type}};
  if (!attributes.is_null()) made["attrs"] = std::move(attributes);
  return {{"operation", std::move(made)}};
}

void check_known(const PretrainedConfig& settings, const char* key, double known) {
  if (!settings.given(key) || settings.real(key) == known) return;
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("--layout genai: {}: {} is {}, expected {}, the only one that the client has",
                                settings.origin(), key, settings.real(key), known));
}

}  // namespace onnxport::layout
