/// What a definition must have to be registered.
#pragma once

#include "onnxport/tasks_manager.h"

namespace onnxport::exporter {

/// Throws ExportError(invalid_argument) that names the type and what its definition lacks.
void check_definition(const ModelDefinition& definition);

}  // namespace onnxport::exporter
