/// OWL-ViT and OWLv2: a CLIP that also finds the objects that texts name, without a vocabulary. (Minderer et
/// al. 2022, 2023)
#pragma once

#include <string>

#include "models/common/definition.h"

namespace onnxport::models {

/// Registers one of the types, with its towers. Checkpoints with detection heads have the keys of the model
/// itself below `type`.
void register_owl(TasksManager& tasks, const std::string& type);

}  // namespace onnxport::models
