/// Towers that are those of another type under a name of their own.
#pragma once

#include <string>

#include "models/common/definition.h"

namespace onnxport::models {

/// The hidden states of the vision tower of `type`, with the keys below `prefix`. `config` is of another
/// class with the same keys.
EncoderStates encode_as(const TasksManager& tasks, const std::string& type, const Inputs& inputs,
                        const Model& model, const PretrainedConfig& config, const std::string& prefix);

}  // namespace onnxport::models
