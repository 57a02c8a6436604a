/// The task of a model that a user did not name.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "onnxport/config.h"
#include "onnxport/model.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::exporter {

bool supports(const ModelDefinition& definition, std::string_view task);
/// The task as the type supports it. With a past is the default if the type has that.
std::optional<std::string> supported_task(const ModelDefinition& definition, std::string_view task);

/// A task, and why it is this one, for a notice.
struct InferredTask {
  std::string task, reason;
};

/// From names: the first of `architectures`, or else `pipeline_tag` (what the Hub calls the task; may be
/// empty), or else the only task of the type. Nothing if none of them names a task that the type supports.
std::optional<InferredTask> task_from_names(const ModelDefinition& definition, const PretrainedConfig& config,
                                            std::string_view pipeline_tag);

/// From tensors: the task whose graph finds all its tensors in the checkpoint and reads some that
/// feature-extraction does not (a head). Of several, the one that leaves the fewest tensors unread. Without a
/// head, feature-extraction, unless `architectures` names a class. Builds the graphs of all tasks of the
/// type, but reads no weights. Throws ExportError(unsupported) that lists the tasks if none of this gives
/// one.
InferredTask task_from_tensors(const Model& model);

}  // namespace onnxport::exporter
