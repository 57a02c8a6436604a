// Qwen3.5: the tower of Qwen3-VL in front of a language model of gated delta nets and attention. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/qwen3_5/modeling_qwen3_5.py
#include "models/decoders/common/qwen_hybrid.h"
#include "models/multimodal/common/qwen3_vl_tower.h"

namespace onnxport::models {
namespace {

// Early files name the whole as the class of their tower. Its layers give no further features, though files
// may have an empty list of them.
Qwen3VlTowerConfig tower_of(const PretrainedConfig& whole) {
  const PretrainedConfig vision = whole.sub("vision_config").as(whole.model_type() + "_vision");
  return Qwen3VlTowerConfig(vision.settled("deepstack_visual_indexes", "[]"));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const std::string type = model.config().model_type();
  if (!is_multimodal_task(component.task)) {
    const auto language = type == "qwen3_5_moe" ? forward_qwen3_5_moe : forward_qwen3_5;
    return language(inputs, model, component);
  }
  return forward_qwen_vl(tasks, inputs, model, component, type + "_text",
                         [&](const Inputs& in, const Component&) -> NamedValues {
                           const Scope s = model.scope() / "visual";
                           return {{"image_features", encode_qwen3_vl(s, in, tower_of(model.config()))}};
                         });
}

class Qwen35OnnxConfig : public QwenVlOnnxConfig {
 public:
  using QwenVlOnnxConfig::QwenVlOnnxConfig;

 protected:
  std::string text_type() const override { return config().model_type() + "_text"; }
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
