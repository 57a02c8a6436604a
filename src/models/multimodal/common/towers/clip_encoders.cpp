#include "models/multimodal/common/towers/clip_encoders.h"

#include <utility>
#include <vector>

#include "models/vision/common/vit.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

// The place of the last token of each text, int64 [B].
Value end_of_text(Value input_ids, const PretrainedConfig& config, TextEnd end) {
  if (end == TextEnd::highest) {
    config.harmless({"eos_token_id"});
    return op::argmax(input_ids, 1);
  }
  const std::int64_t id = config.integer("eos_token_id");
  if (id == 2 && end == TextEnd::id_or_highest) return op::argmax(input_ids, 1);
  return op::argmax(op::cast(op::eq(input_ids, static_cast<double>(id)), DType::i64), 1);
}

}  // namespace

EncoderStates encode_clip_text(const Inputs& inputs, const Model& model, TextEnd end) {
  const PretrainedConfig& config = model.config();
  const Scope s = model.scope().base_model("text_model");
  config.harmless({"projection_dim"});  // of the whole model
  const TextTower tower(s, TextTowerConfig(config));
  // Both masks use the lowest value, so their sum is -inf: a query whose earlier keys are all padding attends
  // to these keys equally, but never to later ones.
  const Value input_ids = inputs["input_ids"];
  Graph& graph = input_ids.graph();
  const ModulePath at(graph, s.path());
  const DType dtype = graph.float_dtype();
  Value bias = nn::DecoderPass(inputs, {}, {.attention_mask = ""}).causal_bias(lowest(dtype));
  if (const Value padding = nn::padding_bias(inputs.get("attention_mask"), dtype))
    bias = op::add(bias, padding);
  std::vector<Value> layers = tower.states(input_ids, {.bias = bias});
  const Value hidden = tower.norm(layers.back());
  const Value pooled = nn::token_at(hidden, end_of_text(input_ids, config, end));
  return {hidden, pooled, std::move(layers)};
}

Value clip_image_tokens(const Scope& e, const ImageTowerConfig& c, Value pixel_values, bool any_size) {
  const std::int64_t count = 1 + c.patches(), width = c.hidden_size, side = c.image_size / c.patch_size;
  const Weight table = (e / "position_embedding").weight("weight", {count, width});
  const Weight class_token = e.weight("class_embedding", {width}).reshape({1, 1, width});
  const Value patches = embed_patches(e, c, pixel_values, false);
  if (!any_size) return add_class_token(e, patches, class_token, table);
  Graph& graph = pixel_values.graph();
  const ModulePath at(graph, e.path());
  const nn::GridTable grid(table.slice(0, 1, count).reshape({1, count - 1, width}), {side, side}, "cubic");
  const Dim rows = pixel_values.dim(2).floor_div(c.patch_size);
  const Value of_patches = grid(graph, rows, pixel_values.dim(3).floor_div(c.patch_size));
  const Value of_class = graph.weight(table.slice(0, 0, 1).reshape({1, 1, width}));
  return add_class_token(e, patches, class_token, op::concat({of_class, of_patches}, 1));
}

EncoderStates encode_clip_images(const Inputs& inputs, const Model& model, const ClipImageTower& tower) {
  const PretrainedConfig& config = model.config();
  const Scope s = model.scope().base_model("vision_model"), e = s / "embeddings";
  const Value pixel_values = inputs["pixel_values"];
  const ImageTowerConfig c(config);
  config.harmless({"projection_dim"});  // of the whole model
  const std::int64_t width = c.hidden_size;
  Value x = clip_image_tokens(e, c, pixel_values, tower.any_size);
  x = nn::LayerNorm(s / tower.first_norm, width, c.layer_norm_eps)(x);
  const nn::PreNormEncoder encoder(s / "encoder" / "layers", c.num_hidden_layers, c.layer());
  const std::vector<Value> states = encoder.states(x);
  const Value hidden = states.back();
  const nn::LayerNorm norm(s / "post_layernorm", width, c.layer_norm_eps);
  const ModulePath at(hidden, s.path());
  return {hidden, norm(nn::first_token(hidden)), states};
}

void register_clip_text_tower(TasksManager& tasks, const std::string& type, TextEnd end) {
  const auto encode = [end](const Inputs& inputs, const Model& model, const Component&) {
    return encode_clip_text(inputs, model, end);
  };
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = type + "_text_model", .roles = {.text_model = EncoderRole{encode}}});
}

void register_clip_image_tower(TasksManager& tasks, const std::string& type, const ClipImageTower& tower) {
  const auto encode = [tower](const Inputs& inputs, const Model& model, const Component&) {
    return encode_clip_images(inputs, model, tower);
  };
  ModelDefinition definition{.model_type = type + "_vision_model",
                             .roles = {.vision_tower = EncoderRole{encode}}};
  if (tower.any_size) {
    tasks.register_model<VisionOnnxConfig>(std::move(definition));
  } else {
    tasks.register_model<ViTOnnxConfig>(std::move(definition));
  }
}

Model inside_head(const TasksManager& tasks, const Model& model, const std::string& prefix) {
  const std::string outside = model.scope().path();
  const bool has_head = model.scope().base_model(prefix).path() != outside;
  return model.part(model.config(), has_head ? prefix : "", tasks.get_definition(model.config().model_type()),
                    model.task());
}

}  // namespace onnxport::models
