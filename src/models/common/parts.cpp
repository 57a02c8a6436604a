#include "models/common/parts.h"

#include <fmt/format.h>

#include <memory>

#include "onnxport/error.h"

namespace onnxport::models {
namespace {

EncoderStates encode(const std::shared_ptr<const ModelDefinition>& type, Role role,
                     const PretrainedConfig& config, const Inputs& inputs, const Model& model,
                     const std::string& prefix) {
  const Model tower = model.part(config, prefix, type, "feature-extraction");
  const Component component{.name = "tower", .task = tower.task()};
  return type->roles.encoder(role).encode(inputs, tower, component);
}

}  // namespace

void describe_parts(const OnnxConfig& whole, const std::vector<std::string>& parts, ExportPlan& plan,
                    const PlanRequest& request) {
  for (const std::string& part : parts) {
    OnnxConfigOptions of_part = whole.options();
    of_part.part = part;
    const auto described = of_part.make(whole.config(), whole.task(), of_part);
    plan.components.push_back(described->component(part, request.shapes, request.dynamic_axes));
  }
}

PretrainedConfig part_of_type(const PretrainedConfig& config, const char* key, const std::string& type) {
  PretrainedConfig part = config.sub(key, type);
  if (part.model_type() == type) return part;
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("{}: {}.model_type is '{}', which cannot be a part of '{}'; expected {}",
                                config.origin(), key, part.model_type(), config.model_type(), type));
}

EncoderStates encode_tower(const TasksManager& tasks, Role role, const char* key,
                           const PretrainedConfig& config, const Inputs& inputs, const Model& model,
                           const std::string& prefix) {
  return encode(tasks.get_part(config, key, role), role, config, inputs, model, prefix);
}

EncoderStates encode_as(const TasksManager& tasks, const std::string& type, const Inputs& inputs,
                        const Model& model, const PretrainedConfig& config, const std::string& prefix) {
  return encode(tasks.get_definition(type), Role::vision_tower, config, inputs, model, prefix);
}

}  // namespace onnxport::models
