/// What a registration leaves to the registry.
#pragma once

#include <string>

#include "onnxport/roles.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::exporter {

/// Is there an encoder among the roles that is the type's feature-extraction?
bool needs_forward(const Roles& roles);

/// Gives the encoders that have no function of their own the first output of feature-extraction.
void complete_roles(ModelDefinition& definition);

/// "backbone, cross decoder"
std::string in_words(const Roles& roles);

}  // namespace onnxport::exporter
