// Qwen3-VL: a tower that hands over features of several layers. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen3_vl/modeling_qwen3_vl.py
#include "models/multimodal/common/towers/qwen3_vl_tower.h"

namespace onnxport::models {
namespace {

Qwen3VlTowerConfig tower_of(const PretrainedConfig& whole) {
  return Qwen3VlTowerConfig(whole.sub("vision_config"));
}

Value encode(const Inputs& inputs, const Model& model) {
  return encode_qwen3_vl(model.scope() / "visual", inputs, tower_of(model.config()));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  NamedValues outputs = forward_qwen_vl(tasks, inputs, model, component, encode);
  if (component.part != kEmbedTokens) return outputs;
  // Tokens have no further features.
  Value& embeds = outputs.front().second;
  const auto layers = static_cast<std::int64_t>(tower_of(model.config()).deepstack.size());
  embeds = op::pad(embeds, {0, 0, 0}, {0, 0, layers * *embeds.dim(2).constant()});
  return outputs;
}

class Qwen3VlOnnxConfig : public QwenVlOnnxConfig {
 public:
  using QwenVlOnnxConfig::QwenVlOnnxConfig;

 protected:
  PatchTowerConfig tower_config() const override { return tower_of(config().unaccounted()); }
  std::int64_t embeds_width() const override {
    const Qwen3VlTowerConfig c = tower_of(config().unaccounted());
    const std::int64_t width = text_config().integer("hidden_size");
    return width * static_cast<std::int64_t>(1 + c.deepstack.size());
  }
};

}  // namespace

void register_qwen3_vl(TasksManager& tasks) {
  register_multimodal_decoder<Qwen3VlOnnxConfig>(
      tasks, {.model_type = "qwen3_vl", .forward = bound(tasks, forward), .key_names = qwen_vl_key_names()});
}

}  // namespace onnxport::models
