/// The definition of a Sentence Transformers folder.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "onnxport/modules.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::exporter {

/// The definition that starts with the kind of the first module. `origin` names modules.json in errors.
/// Throws ExportError(bad_config) if there are no modules, and ExportError(unsupported) that names the
/// modules that no definition builds.
std::shared_ptr<const ModelDefinition> definition_of(const TasksManager& tasks,
                                                     const std::vector<SentenceModule>& modules,
                                                     const std::string& origin);

}  // namespace onnxport::exporter
