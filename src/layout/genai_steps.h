/// The operations in the files that tell onnxruntime-genai how to prepare images and sounds.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/plan.h"

namespace onnxport::layout {

using Steps = std::vector<nlohmann::ordered_json>;

/// {"operation": {"name": …, "type": …, "attrs": …}}, without attrs for null.
nlohmann::ordered_json operation(const char* name, const char* type, nlohmann::ordered_json attributes = {});

/// The settings of a part of the original processor: in the file that all parts share, which version 5
/// writes, or else in preprocessor_config.json. Throws ExportError(bad_config) for missing files.
PretrainedConfig settings_of(const ExportPlan& plan, const char* part);

/// Throws ExportError(unsupported) if the settings give another number for a key than the client knows.
void check_known(const PretrainedConfig& settings, const char* key, double known);

}  // namespace onnxport::layout
