// AIMv2: a text tower and an image tower. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/aimv2/modeling_aimv2.py
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/multimodal/common/towers/clip.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

PretrainedConfig text_config(const PretrainedConfig& c) { return c.sub("text_config", "aimv2_text_model"); }
PretrainedConfig vision_config(const PretrainedConfig& c) {
  return c.sub("vision_config", "aimv2_vision_model");
}

class Aimv2OnnxConfig : public ClipOnnxConfig {
 public:
  using ClipOnnxConfig::ClipOnnxConfig;
  std::vector<std::string> variants() const override { return {"default"}; }
  AxesByName inputs() const override {
    const Axes text = {{0, "text_batch_size"}, {1, "sequence_length"}};
    return {{"input_ids", text}, {"pixel_values", {{0, "image_batch_size"}}}, {"attention_mask", text}};
  }
  NormalizedConfig normalized_config() const override {
    const PretrainedConfig c = config().unaccounted();
    return normalized_towers(text_config(c), vision_config(c));
  }
};

// The logarithm of the factor, limited as the original limits it.
Weight limited_scale(const Scope& root, const PretrainedConfig& c) {
  const double most = c.real("max_logit_scale");
  const bool positive = most >= 1;  // not a number is not
  if (!positive) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: max_logit_scale is {}, expected at least 1", c.origin(), most));
  }
  Weight stored = root.weight("logit_scale", {});
  const double scale = std::clamp(stored.to_doubles().front(), 0.0, std::log(most));
  if (scale == stored.to_doubles().front()) return stored;
  return Weight::from_doubles(DType::f32, {}, std::vector<double>{scale});
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const Scope root = model.scope();
  c.harmless({"logit_scale_init_value"});
  const auto project = [&](const char* key, const EncoderStates& tower) {
    const std::int64_t width = *tower.hidden.dim(2).constant();
    return nn::Linear(root / key, width, c.integer("projection_dim"), false)(tower.pooled);
  };
  const EncoderStates image =
      encode_tower(tasks, Role::vision_tower, "vision_config", vision_config(c), inputs, model);
  if (!image.pooled) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: vision_config.use_head is false, but the projection needs the head", c.origin()));
  }
  const Value image_embeds = project("visual_projection", image);
  const EncoderStates text =
      encode_tower(tasks, Role::text_model, "text_config", text_config(c), inputs, model);
  return compare_towers(project("text_projection", text), image_embeds, limited_scale(root, c));
}

}  // namespace

void register_aimv2(TasksManager& tasks) {
  tasks.register_model<Aimv2OnnxConfig>(
      {.model_type = "aimv2",
       .tasks = {"feature-extraction"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& /*component*/) { return forward(tasks, inputs, model); },
       .ignorable_keys = {"*.embeddings.position_ids"}});
}

}  // namespace onnxport::models
