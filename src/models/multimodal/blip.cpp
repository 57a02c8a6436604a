// BLIP: a text tower that can look at an image, and an image tower. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/blip/modeling_blip.py
#include <vector>

#include "models/multimodal/common/features/cross_layer.h"
#include "models/multimodal/common/towers/clip_encoders.h"
#include "models/vision/common/vit.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

constexpr const char* kRetrieval = "image-text-retrieval";

class BlipOnnxConfig : public ClipOnnxConfig {
 public:
  using ClipOnnxConfig::ClipOnnxConfig;
  std::vector<std::string> variants() const override {
    return task() == kRetrieval ? std::vector<std::string>{"default"} : ClipOnnxConfig::variants();
  }
  AxesByName inputs() const override {
    if (task() != kRetrieval) return ClipOnnxConfig::inputs();
    const Axes text = {{0, "batch_size"}, {1, "sequence_length"}};
    return {{"pixel_values", {{0, "batch_size"}}}, {"input_ids", text}, {"attention_mask", text}};
  }
  AxesByName outputs() const override {
    if (task() != kRetrieval) return ClipOnnxConfig::outputs();
    return {{"itm_score", {{0, "batch_size"}}}};
  }
};

// Transformers 4 subtracts a number from the scores of padding, which hides it only beside real tokens.
op::AttentionMask text_mask(const PretrainedConfig& config, Value attention_mask) {
  if (!attention_mask || config.transformers_major() >= 5) return nn::padding_mask(attention_mask);
  const ModulePath at(attention_mask, "attention_mask");
  const Value real = op::cast(attention_mask, attention_mask.graph().float_dtype());
  const Value bias = op::mul(op::sub(1.0, real), -10000.0);
  return {.bias = op::reshape(bias, {bias.dim(0), 1, 1, bias.dim(1)})};
}

// Hidden states of a text, which looks at an image [B, E, H] unless that is absent.
Value encode_text(const Scope& s, const PretrainedConfig& config, const Inputs& inputs, Value image = {}) {
  const TextEncoderConfig c(config);
  // Of decoders and training. The width of an image is that of its states.
  config.harmless({"projection_dim", "encoder_hidden_size", "is_decoder", "use_cache", "label_smoothing",
                   "bos_token_id", "eos_token_id", "sep_token_id"});
  Value x = nn::TextEmbeddings(s / "embeddings", c.embeddings())(inputs["input_ids"]);
  const op::AttentionMask mask = text_mask(config, inputs.get("attention_mask"));
  const Scope layers = s / "encoder" / "layer";
  if (!image) return nn::PostNormEncoder(layers, c.num_hidden_layers, c.layer())(x, mask);
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i)
    x = cross_layer(layers / i, c.layer(), x, mask, {.states = image});
  return x;
}

EncoderStates text_tower(const Inputs& inputs, const Model& model, const Component&) {
  const Scope s = model.scope().base_model("text_model");
  const Value hidden = encode_text(s, model.config(), inputs);
  return {hidden, nn::Pooler(s / "pooler" / "dense", *hidden.dim(2).constant())(hidden)};
}

// Keys: qkv, projection.
Value attend(const Scope& s, const ImageTowerConfig& c, Value x, bool qkv_bias) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.hidden_size, heads = c.num_attention_heads;
  const std::vector<Value> qkv = op::chunk(nn::Linear(s / "qkv", width, 3 * width, qkv_bias)(x), 2, 3);
  const Value seen = op::attention({.query = qkv[0], .key = qkv[1], .value = qkv[2]}, heads, heads).output;
  return nn::Linear(s / "projection", width, width)(seen);
}

EncoderStates image_tower(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& config = model.config();
  const ImageTowerConfig c(config);
  config.harmless({"projection_dim"});                  // of the whole model
  const bool qkv_bias = config.flag("qkv_bias", true);  // a key of BLIP-2's class
  const Scope s = model.scope().base_model("vision_model"), e = s / "embeddings";
  const std::int64_t width = c.hidden_size;
  Value x = embed_patches(e, c, inputs["pixel_values"], true);
  x = add_class_token(e, x, e.weight("class_embedding", {1, 1, width}),
                      e.weight("position_embedding", {1, 1 + c.patches(), width}));
  const auto norm = [&](const Scope& of) { return nn::LayerNorm(of, width, c.layer_norm_eps); };
  std::vector<Value> states = {x};
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const Scope layer = s / "encoder" / "layers" / i;
    const ModulePath at(x, layer.path());
    const Value normed = norm(layer / "layer_norm1")(x);
    x = op::add(attend(layer / "self_attn", c, normed, qkv_bias), x);
    const nn::Mlp mlp((layer / "mlp").path(), nn::Linear(layer / "mlp.fc1", width, c.intermediate_size),
                      nn::Linear(layer / "mlp.fc2", c.intermediate_size, width), c.hidden_act);
    const Value wide = mlp(norm(layer / "layer_norm2")(x));
    x = op::add(wide, x);
    states.push_back(x);
  }
  const Value hidden = norm(s / "post_layernorm")(x);
  const ModulePath at(hidden, s.path());
  return {hidden, norm(s / "post_layernorm")(nn::first_token(hidden)), states};  // normalized twice
}

NamedValues score(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  c.harmless({"projection_dim", "logit_scale_init_value"});
  const PretrainedConfig vision = tower_config(c, "vision_config");
  const Value image = encode_tower(tasks, Role::vision_tower, "vision_config", vision, inputs, model).hidden;
  const Scope root = model.scope();
  const Value text = encode_text(root / "text_encoder", tower_config(c, "text_config"), inputs, image);
  const std::int64_t width = *text.dim(2).constant();
  return {{"itm_score", nn::Linear(root / "itm_head", width, 2)(nn::first_token(text))}};
}

}  // namespace

void register_blip(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "blip_text_model", .roles = {.text_model = EncoderRole{text_tower}}});
  tasks.register_model<ViTOnnxConfig>(
      {.model_type = "blip_vision_model", .roles = {.vision_tower = EncoderRole{image_tower}}});
  tasks.register_model<BlipOnnxConfig>(
      {.model_type = "blip",
       .tasks = {"feature-extraction", kRetrieval},
       .forward = [&tasks, whole = clip_forward(tasks)](const Inputs& inputs, const Model& model,
                                                        const Component& component) -> NamedValues {
         // Of heads for comparison without looking, and of training.
         model.config().harmless({"image_text_hidden_size", "label_smoothing", "tie_word_embeddings"});
         if (component.task == kRetrieval) return score(tasks, inputs, model);
         return whole(inputs, model, component);
       },
       .ignorable_keys = {"*.embeddings.position_ids", "text_model.encoder.layer.*.crossattention.*",
                          "vision_proj.*", "text_proj.*"}});
}

}  // namespace onnxport::models
