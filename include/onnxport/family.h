/// Families of architectures: the definitions of the library timm.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/export_macro.h"
#include "onnxport/tasks_manager.h"

namespace onnxport {

/// The family of the library timm that builds an architecture; what follows a dot in its name
/// (`resnet50.a1_in1k`) is the name of weights. `origin` is the file that has the name. Throws
/// ExportError(unsupported) that names similar architectures and lists the families.
ONNXPORT_API std::shared_ptr<const ModelDefinition> get_family(const TasksManager& tasks,
                                                               std::string_view architecture,
                                                               const std::string& origin);

/// The architectures of a family; none for a definition of another library.
ONNXPORT_API std::vector<std::string> architectures_of(const ModelDefinition& definition);

}  // namespace onnxport
