#include "models/multimodal/common/borrowed_tower.h"

namespace onnxport::models {

EncoderStates encode_as(const TasksManager& tasks, const std::string& type, const Inputs& inputs,
                        const Model& model, const PretrainedConfig& config, const std::string& prefix) {
  const auto definition = tasks.get_definition(type);
  const Model tower = model.part(config, prefix, definition, "feature-extraction");
  const Component component{.name = "tower", .task = tower.task()};
  return definition->roles.encoder(Role::vision_tower).encode(inputs, tower, component);
}

}  // namespace onnxport::models
