// Qwen3-VL: a tower that hands over features of several layers. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/qwen3_vl/modeling_qwen3_vl.py
#include "models/multimodal/common/qwen3_vl_tower.h"

namespace onnxport::models {
namespace {

Qwen3VlTowerConfig tower_of(const PretrainedConfig& whole) {
  return Qwen3VlTowerConfig(whole.sub("vision_config"));
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  NamedValues outputs = forward_qwen_vl(
      tasks, inputs, model, component, model.config().model_type() + "_text",
      [&](const Inputs& in, const Component&) -> NamedValues {
        return {{"image_features", encode_qwen3_vl(model.scope() / "visual", in, tower_of(model.config()))}};
      });
  if (component.part != kEmbedTokens) return outputs;
  // Tokens have no further features.
  Value& embeds = outputs.front().second;
  const std::int64_t width = *embeds.dim(2).constant();
  const Qwen3VlTowerConfig c = tower_of(model.config());
  const auto further = static_cast<std::int64_t>(c.deepstack.size());
  const double nothing[] = {0};
  const Weight zero = Weight::from_doubles(embeds.dtype(), {1, 1, 1}, nothing);
  const Value zeros =
      op::expand(embeds.graph().weight(zero), {embeds.dim(0), embeds.dim(1), further * width});
  embeds = op::concat({embeds, zeros}, 2);
  return outputs;
}

class Qwen3VlOnnxConfig : public QwenVlOnnxConfig {
 public:
  using QwenVlOnnxConfig::QwenVlOnnxConfig;

 protected:
  std::string text_type() const override { return config().model_type() + "_text"; }
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
