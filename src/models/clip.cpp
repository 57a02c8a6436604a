// CLIP: a text tower and an image tower. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/clip/modeling_clip.py
#include "models/clip.h"

namespace onnxport::models {
namespace {

// Old files carry `text_config_dict` and `vision_config_dict`, which win with all of their class's keys.
PretrainedConfig tower_config(const PretrainedConfig& c, const std::string& name) {
  const std::string type = name == "text_config" ? "clip_text_model" : "clip_vision_model";
  if (!c.has(name + "_dict")) return c.sub(name, type);
  c.harmless({name});
  return c.sub(name + "_dict", type);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  const Scope root = model.scope();
  if (component.task == "image-classification") {
    c.harmless({"text_config", "text_config_dict", "projection_dim"});
    const PretrainedConfig vision = tower_config(c, "vision_config");
    const Value hidden = clip_vision(root / "vision_model", vision, inputs["pixel_values"]).hidden;
    const Value pooled = op::mean(op::slice(hidden, 1, 1, hidden.dim(1)), 1);  // without the class token
    const std::int64_t width = *hidden.dim(2).constant();
    return {{"logits", nn::Linear(root / "classifier", width, c.num_labels())(pooled)}};
  }
  const ClipEmbeds embeds = clip_embeds(inputs, model);
  return compare_towers(embeds.text, embeds.image, root.weight("logit_scale", {}));
}

}  // namespace

AxesByName ClipOnnxConfig::inputs() const {
  if (task() == "image-classification") return {{"pixel_values", {{0, "batch_size"}}}};
  const Axes text = {{0, "text_batch_size"}, {1, "sequence_length"}};
  return {{"pixel_values", {{0, "image_batch_size"}}}, {"input_ids", text}, {"attention_mask", text}};
}

AxesByName ClipOnnxConfig::outputs() const {
  return common_outputs(task() == "feature-extraction" ? "zero-shot-image-classification" : task());
}

NormalizedConfig ClipOnnxConfig::normalized_config() const {
  const PretrainedConfig c = config().unaccounted();
  return normalized_towers(tower_config(c, "text_config"), tower_config(c, "vision_config"));
}

ClipEmbeds clip_embeds(const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const PretrainedConfig text = tower_config(c, "text_config"), vision = tower_config(c, "vision_config");
  const Scope root = model.scope();
  const auto project = [&](const char* key, const TowerOutput& tower) {
    const std::int64_t width = *tower.pooled.dim(1).constant();
    return nn::Linear(root / key, width, c.integer("projection_dim"), false)(tower.pooled);
  };
  const TowerOutput images = clip_vision(root / "vision_model", vision, inputs["pixel_values"]);
  const Value image_embeds = project("visual_projection", images);
  const TowerOutput texts = clip_text(root / "text_model", text, inputs);
  return {project("text_projection", texts), image_embeds};
}

TowerOutput clip_text(const Scope& s, const PretrainedConfig& config, const Inputs& inputs) {
  config.harmless({"projection_dim"});  // of the whole model
  const TextTower tower(s, TextTowerConfig(config));
  // Both masks are lowest values, and their sum is -inf: a query whose earlier keys are all padding attends
  // to those alike, but never to later ones.
  const Value input_ids = inputs["input_ids"];
  Graph& graph = input_ids.graph();
  const ModulePath at(graph, s.path());
  const Value earlier = nn::DecoderPass(inputs, {}, {.attention_mask = ""}).order();
  const Value zero = op::scalar(graph, 0, graph.float_dtype());
  Value mask = op::where(earlier, zero, op::scalar(graph, lowest(graph.float_dtype()), graph.float_dtype()));
  if (const Value padding = nn::additive_mask(inputs.get("attention_mask"), mask.dtype()))
    mask = op::add(mask, padding);
  const Value hidden = tower(input_ids, mask);

  // The vector of the first end token. Files that say 2 are wrong about its id: it is the highest one.
  const std::int64_t end = config.integer("eos_token_id");
  const Value rank = end == 2 ? input_ids : op::cast(op::eq(input_ids, static_cast<double>(end)), DType::i64);
  return {hidden, nn::token_at(hidden, op::argmax(rank, 1))};
}

TowerOutput clip_vision(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const ImageTowerConfig c(config);
  config.harmless({"projection_dim"});  // of the whole model
  Graph& graph = pixel_values.graph();
  const Scope e = s / "embeddings";
  const std::int64_t count = 1 + c.patches(), width = c.hidden_size;
  const Weight table = (e / "position_embedding").weight("weight", {count, width});
  const Weight class_token = e.weight("class_embedding", {width}).reshape({1, 1, width});
  Value x = embed_patches(e, c, pixel_values, false);
  {
    const ModulePath at(x, e.path());
    const Value first = op::expand(graph.weight(class_token), {x.dim(0), 1, width});
    x = op::concat({first, x}, 1);
    x = op::add(x, graph.weight(table));
  }
  x = nn::LayerNorm(s / "pre_layrnorm", width, c.layer_norm_eps)(x);
  const Value hidden = nn::PreNormEncoder(s / "encoder" / "layers", c.num_hidden_layers, c.layer())(x);
  const nn::LayerNorm norm(s / "post_layernorm", width, c.layer_norm_eps);
  const ModulePath at(hidden, s.path());
  return {hidden, norm(nn::first_token(hidden))};
}

void register_clip(TasksManager& tasks) {
  tasks.register_model<ClipOnnxConfig>(
      {.model_type = "clip",
       .tasks = {"feature-extraction", "zero-shot-image-classification", "image-classification"},
       .forward = forward,
       .ignorable_keys = {"*.embeddings.position_ids"}});
}

}  // namespace onnxport::models
