// Qwen3.5: the tower of Qwen3-VL in front of a language model of gated delta nets and attention. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/qwen3_5/modeling_qwen3_5.py
#include "models/decoders/common/qwen_hybrid.h"
#include "models/multimodal/common/towers/qwen3_vl_tower.h"

namespace onnxport::models {
namespace {

// Early files name the whole as the class of their tower. Its layers give no further features, though files
// may have an empty list of them.
Qwen3VlTowerConfig tower_of(const PretrainedConfig& whole) {
  const PretrainedConfig vision = whole.sub("vision_config").as(whole.model_type() + "_vision");
  return Qwen3VlTowerConfig(vision.settled("deepstack_visual_indexes", "[]"));
}

Value encode(const Inputs& inputs, const Model& model) {
  return encode_qwen3_vl(model.scope() / "visual", inputs, tower_of(model.config()));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const std::string type = model.config().model_type();
  if (!is_multimodal_task(component.task)) {
    const auto language = type == "qwen3_5_moe" ? forward_qwen3_5_moe : forward_qwen3_5;
    return language(inputs, model, component);
  }
  return forward_qwen_vl(tasks, inputs, model, component, encode);
}

class Qwen35OnnxConfig : public QwenVlOnnxConfig {
 public:
  using QwenVlOnnxConfig::QwenVlOnnxConfig;

 protected:
  PatchTowerConfig tower_config() const override { return tower_of(config().unaccounted()); }
};

}  // namespace

void register_qwen3_5(TasksManager& tasks) {
  register_multimodal_decoder<Qwen35OnnxConfig, QwenHybridOnnxConfig>(
      tasks, {.model_type = "qwen3_5",
              .tasks = {"text-generation", "text-generation-with-past"},
              .forward = bound(tasks, forward),
              .ignorable_keys = qwen3_5_ignorable_keys(),
              .key_names = qwen_vl_key_names()});
}

}  // namespace onnxport::models
