/// Models that are made of parts: types that are exported as several components, and parts that other types
/// define.
#pragma once

#include <string>
#include <vector>

#include "models/common/definition.h"
#include "onnxport/plan.h"

namespace onnxport::models {

/// Adds a component for each of these parts to a plan. `whole` describes a part if its options name one.
void describe_parts(const OnnxConfig& whole, const std::vector<std::string>& parts, ExportPlan& plan,
                    const PlanRequest& request);

/// The configuration of a part whose class must be `type`. Throws ExportError(unsupported) for another.
PretrainedConfig part_of_type(const PretrainedConfig& config, const char* key, const std::string& type);

/// A tower whose keys are below `prefix`, or at the model's root, by the type of its configuration: hidden
/// states [B, S, H] and one vector [B, D] per row. `key`: key of the configuration, for errors.
EncoderStates encode_tower(const TasksManager& tasks, Role role, const char* key,
                           const PretrainedConfig& config, const Inputs& inputs, const Model& model,
                           const std::string& prefix = {});

/// The same for the vision tower of `type`. `config` is of another class with the same keys.
EncoderStates encode_as(const TasksManager& tasks, const std::string& type, const Inputs& inputs,
                        const Model& model, const PretrainedConfig& config, const std::string& prefix);

}  // namespace onnxport::models
