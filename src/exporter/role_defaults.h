/// Defaults that the registry adds to a registration.
#pragma once

#include <string>

#include "onnxport/roles.h"
#include "onnxport/tasks_manager.h"

namespace onnxport::exporter {

/// Whether one of the roles is an encoder that uses the type's feature-extraction, or a language model that
/// uses its text generation.
bool needs_forward(const Roles& roles);

/// For encoders without a function, uses the first output of feature-extraction; for language models, text
/// generation.
void complete_roles(ModelDefinition& definition);

/// "backbone, cross decoder"
std::string in_words(const Roles& roles);

}  // namespace onnxport::exporter
