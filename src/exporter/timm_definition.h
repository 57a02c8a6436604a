/// The definition of a checkpoint of the library timm.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "onnxport/config.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::exporter {

/// Whether config.json names an architecture, but no model type.
bool is_timm_folder(const std::filesystem::path& folder);

/// Reads config.json; the architecture, without the name of weights, becomes the model type. Throws
/// ExportError(bad_config) if it is missing or broken or names no architecture.
PretrainedConfig read_timm_config(const std::filesystem::path& folder);

/// get_family() for the architecture that a configuration names.
std::shared_ptr<const ModelDefinition> family_of(const TasksManager& tasks, const PretrainedConfig& config);

}  // namespace onnxport::exporter
