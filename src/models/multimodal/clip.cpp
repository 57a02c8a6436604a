// CLIP: a text tower and an image tower. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/clip/modeling_clip.py
#include "models/multimodal/common/towers/clip.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

Value project(const Model& model, const char* key, Value pooled) {
  const std::int64_t width = *pooled.dim(1).constant();
  return nn::Linear(model.scope() / key, width, model.config().integer("projection_dim"), false)(pooled);
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const PretrainedConfig& c = model.config();
  const Scope root = model.scope();
  if (component.task == "image-classification") {
    c.harmless({"text_config", "text_config_dict", "projection_dim"});
    const PretrainedConfig vision = tower_config(c, "vision_config");
    const Value hidden =
        encode_tower(tasks, Role::vision_tower, "vision_config", vision, inputs, model).hidden;
    const Value pooled = op::mean(op::slice(hidden, 1, 1, hidden.dim(1)), 1);  // without the class token
    const std::int64_t width = *hidden.dim(2).constant();
    return {{"logits", nn::Linear(root / "classifier", width, c.num_labels())(pooled)}};
  }
  c.harmless({"logit_scale_init_value"});  // of training
  leave_out_other_tower(c, component);
  if (component.part == kTextModel) return {{"text_embeds", clip_text_embeds(tasks, inputs, model)}};
  const Value image = clip_image_embeds(tasks, inputs, model);
  if (component.part == kVisionModel) return {{"image_embeds", image}};
  const Value text = clip_text_embeds(tasks, inputs, model);
  return compare_towers(text, image, root.weight("logit_scale", {}));
}

}  // namespace

PretrainedConfig part_config(const PretrainedConfig& whole, const std::string& key, const std::string& type) {
  if (!whole.has(key + "_dict")) return whole.sub(key, type);
  whole.harmless({key});
  return whole.sub(key + "_dict", type);
}

PretrainedConfig tower_config(const PretrainedConfig& whole, const std::string& key) {
  return part_config(whole, key,
                     whole.model_type() + (key == "text_config" ? "_text_model" : "_vision_model"));
}

AxesByName ClipOnnxConfig::inputs() const {
  if (task() == "image-classification") return {{"pixel_values", {{0, "batch_size"}}}};
  const Axes text = {{0, "text_batch_size"}, {1, "sequence_length"}};
  return of_part(
      {{"pixel_values", {{0, "image_batch_size"}}}, {"input_ids", text}, {"attention_mask", text}});
}

AxesByName ClipOnnxConfig::outputs() const {
  return of_part(common_outputs(task() == "feature-extraction" ? "zero-shot-image-classification" : task()));
}

NormalizedConfig ClipOnnxConfig::normalized_config() const {
  const PretrainedConfig c = config().unaccounted();
  return normalized_towers(tower_config(c, "text_config"), tower_config(c, "vision_config"));
}

Value clip_text_embeds(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig text = tower_config(model.config(), "text_config");
  const EncoderStates states = encode_tower(tasks, Role::text_model, "text_config", text, inputs, model);
  return project(model, "text_projection", states.pooled);
}

Value clip_image_embeds(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig vision = tower_config(model.config(), "vision_config");
  const EncoderStates states =
      encode_tower(tasks, Role::vision_tower, "vision_config", vision, inputs, model);
  return project(model, "visual_projection", states.pooled);
}

Forward clip_forward(const TasksManager& tasks) {
  return [&tasks](const Inputs& inputs, const Model& model, const Component& component) {
    return forward(tasks, inputs, model, component);
  };
}

void register_clip(TasksManager& tasks) {
  tasks.register_model<ClipOnnxConfig>(
      {.model_type = "clip",
       .tasks = {"feature-extraction", "zero-shot-image-classification", "image-classification"},
       .forward = clip_forward(tasks),
       .ignorable_keys = {"*.embeddings.position_ids"}});
}

}  // namespace onnxport::models
