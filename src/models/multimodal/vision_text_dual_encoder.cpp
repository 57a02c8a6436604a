// A text tower and an image tower of any types, with projections. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vision_text_dual_encoder/modeling_vision_text_dual_encoder.py
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "models/multimodal/common/towers/clip.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"

namespace onnxport::models {
namespace {

PretrainedConfig text_config(const PretrainedConfig& c) { return c.sub("text_config"); }

// Old files call the image tower of such a model by the model's type.
PretrainedConfig vision_config(const PretrainedConfig& c) {
  constexpr std::array<std::string_view, 3> kWholes = {"chinese_clip", "clip", "siglip"};
  const PretrainedConfig vision = c.sub("vision_config");
  const std::string& type = vision.model_type();
  const bool whole = std::find(kWholes.begin(), kWholes.end(), type) != kWholes.end();
  return whole ? vision.as(type + "_vision_model") : vision;
}

class DualEncoderOnnxConfig : public TextAndVisionOnnxConfig {
 public:
  using TextAndVisionOnnxConfig::TextAndVisionOnnxConfig;
  AxesByName inputs() const override {
    const Axes text = {{0, "text_batch_size"}, {1, "sequence_length"}};
    AxesByName names = tower(Role::vision_tower)->inputs();
    for (auto& [name, axes] : names) axes[0] = "image_batch_size";
    names.insert(names.end(), {{"input_ids", text}, {"attention_mask", text}});
    return names;
  }
  AxesByName outputs() const override { return common_outputs("zero-shot-image-classification"); }
  NormalizedConfig normalized_config() const override {
    const PretrainedConfig c = config().unaccounted();
    return normalized_towers(text_config(c), vision_config(c));
  }
  std::optional<std::int64_t> longest_sequence() const override {
    return tower(Role::text_model)->longest_sequence();
  }
  ImageSizes image_sizes() const override { return tower(Role::vision_tower)->image_sizes(); }

 private:
  std::shared_ptr<const OnnxConfig> tower(Role role) const {
    const PretrainedConfig c = config().unaccounted();
    const bool text = role == Role::text_model;
    const PretrainedConfig part = text ? text_config(c) : vision_config(c);
    const auto type = TasksManager::instance().get_part(part, text ? "text_config" : "vision_config", role);
    return type->onnx_config(part, "feature-extraction", options());
  }
};

// One vector per row: what the type itself gives, or that of the pooler that its models have beside it. `s`:
// the root of the tower's keys.
Value pool(const Scope& s, const EncoderStates& states, const PretrainedConfig& config, const char* key) {
  if (states.pooled) return states.pooled;
  const Scope dense = s / "pooler" / "dense";
  const auto shape = dense.shape_of("weight");
  if (!shape || shape->size() != 2) {
    throw ExportError(
        ErrorCode::unsupported,
        fmt::format("{}: {} is of type '{}', which gives no vector for a whole input and has no "
                    "pooler in this checkpoint",
                    config.origin(), key, config.model_type()));
  }
  const ModulePath at(states.hidden, (s / "pooler").path());
  const std::int64_t width = *states.hidden.dim(2).constant();
  const Value pooled = nn::Linear(dense, width, shape->front())(nn::first_token(states.hidden));
  return nn::Activation(config.string("pooler_act", "tanh"))(pooled);
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  c.harmless({"logit_scale_init_value"});  // of training
  const Scope root = model.scope();
  const auto embed = [&](Role role, const char* key, const PretrainedConfig& config, const char* prefix,
                         const char* projection) {
    const EncoderStates states = encode_tower(tasks, role, key, config, inputs, model, prefix);
    const Value pooled = pool(root / prefix, states, config, key);
    const std::int64_t width = *pooled.dim(1).constant();
    return nn::Linear(root / projection, width, c.integer("projection_dim"), false)(pooled);
  };
  const Value image =
      embed(Role::vision_tower, "vision_config", vision_config(c), "vision_model", "visual_projection");
  const Value text = embed(Role::text_model, "text_config", text_config(c), "text_model", "text_projection");
  return compare_towers(text, image, root.weight("logit_scale", {}));
}

}  // namespace

void register_vision_text_dual_encoder(TasksManager& tasks) {
  tasks.register_model<DualEncoderOnnxConfig>(
      {.model_type = "vision-text-dual-encoder",
       .tasks = {"feature-extraction"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component&) { return forward(tasks, inputs, model); },
       .ignorable_keys = {"*.embeddings.position_ids", "*embeddings.mask_token"}});
}

}  // namespace onnxport::models
