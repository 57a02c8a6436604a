// FLAVA: a text tower, an image tower, and an encoder of both. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/flava/modeling_flava.py
#include "models/multimodal/common/towers/clip.h"
#include "models/multimodal/common/towers/clip_encoders.h"
#include "models/vision/common/vit.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/vision.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

PretrainedConfig text_config(const PretrainedConfig& c) {
  return part_config(c, "text_config", "flava_text_model");
}
PretrainedConfig image_config(const PretrainedConfig& c) {
  return part_config(c, "image_config", "flava_image_model");
}

class FlavaOnnxConfig : public TextAndVisionOnnxConfig {
 public:
  using TextAndVisionOnnxConfig::TextAndVisionOnnxConfig;
  AxesByName inputs() const override {
    const Axes text = {{0, "batch_size"}, {1, "sequence_length"}};
    return {{"input_ids", text},
            {"attention_mask", text},
            {"token_type_ids", text},
            {"pixel_values", {{0, "batch_size"}}}};
  }
  AxesByName outputs() const override {
    return {{"image_embeddings", {{0, "batch_size"}}},
            {"text_embeddings", {{0, "batch_size"}, {1, "sequence_length"}}},
            {"multimodal_embeddings", {{0, "batch_size"}, {1, "multimodal_sequence_length"}}}};
  }
  NormalizedConfig normalized_config() const override {
    const PretrainedConfig c = config().unaccounted();
    return normalized_towers(text_config(c), image_config(c));
  }
};

// The layers, and a norm behind them: the norm is not part of the last state. Keys: encoder.layer, layernorm,
// and those of a pooler.
EncoderStates encode(const Scope& s, const PretrainedConfig& config, Value x, const op::AttentionMask& mask) {
  const ViTEncoderConfig c(config);
  const std::vector<Value> states =
      nn::PreNormEncoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer()).states(x, mask);
  const Value hidden = nn::LayerNorm(s / "layernorm", c.hidden_size, c.layer_norm_eps)(states.back());
  return {hidden, nn::Pooler(s / "pooler" / "dense", c.hidden_size)(hidden), states};
}

EncoderStates encode_text(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& config = model.config();
  const TextEncoderConfig c(config);
  const Scope s = model.scope();
  const nn::TextEmbeddings embeddings(s / "embeddings", c.embeddings());
  const Value x = embeddings(inputs["input_ids"], inputs.get("token_type_ids"));
  return encode(s, config, x, nn::padding_mask(inputs.get("attention_mask")));
}

EncoderStates encode_image(const Inputs& inputs, const Model& model, const Component&) {
  const PretrainedConfig& config = model.config();
  config.harmless({"mask_token", "vocab_size"});  // of training
  const Scope s = model.scope();
  const nn::ImageTokens embeddings(s / "embeddings", ViTConfig(config).tokens());
  return encode(s, config, embeddings(inputs["pixel_values"]), {});
}

// Everything of an image is real.
Value joint_mask(Value attention_mask, const Dim& image_length) {
  Graph& graph = attention_mask.graph();
  const ModulePath at(graph, "attention_mask");
  const Value one = op::reshape(op::scalar(graph, 1, DType::i64), {1, 1});
  const Value image = op::expand(one, {attention_mask.dim(0), image_length});
  return op::concat({image, attention_mask}, 1);
}

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& whole) {
  const PretrainedConfig& c = whole.config();
  // Of training, and of vectors that are no output.
  c.harmless({"image_codebook_config", "image_codebook_config_dict", "hidden_size", "layer_norm_eps",
              "projection_dim", "init_codebook", "logit_scale_init_value", "ce_ignore_index", "mim_weight",
              "mlm_weight", "global_contrastive_weight", "itm_weight", "mmm_image_weight", "mmm_text_weight",
              "global_backprop_contrastive", "skip_unmasked_multimodal_encoder", "return_loss"});
  const Model model = inside_head(tasks, whole, "flava");
  const EncoderStates image =
      encode_tower(tasks, Role::vision_tower, "image_config", image_config(c), inputs, model, "image_model");
  const EncoderStates text =
      encode_tower(tasks, Role::text_model, "text_config", text_config(c), inputs, model, "text_model");
  const PretrainedConfig config = part_config(c, "multimodal_config", "flava_multimodal_model");
  const std::int64_t width = config.integer("hidden_size");
  const Scope root = model.scope(), s = root / "multimodal_model";
  const auto project = [&](const char* key, Value states) {
    return nn::Linear(root / key, *states.dim(2).constant(), width)(states);
  };
  const Value of_image = project("image_to_mm_projection", image.layers.back());
  std::vector<Value> parts = {of_image, project("text_to_mm_projection", text.layers.back())};
  if (config.flag("use_cls_token")) {
    const ModulePath at(of_image, s.path());
    const Value token = of_image.graph().weight(s.weight("cls_token", {1, 1, width}));
    parts.insert(parts.begin(), op::expand(token, {of_image.dim(0), 1, width}));
  }
  Value x;
  {
    const ModulePath at(of_image, s.path());
    x = op::concat(parts, 1);
  }
  const Value mask = joint_mask(inputs["attention_mask"], x.dim(1) - text.hidden.dim(1));
  return {{"image_embeddings", image.hidden},
          {"text_embeddings", text.hidden},
          {"multimodal_embeddings", encode(s, config, x, nn::padding_mask(mask)).hidden}};
}

}  // namespace

void register_flava(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "flava_text_model", .roles = {.text_model = EncoderRole{encode_text}}});
  tasks.register_model<ViTOnnxConfig>(
      {.model_type = "flava_image_model", .roles = {.vision_tower = EncoderRole{encode_image}}});
  tasks.register_model<FlavaOnnxConfig>(
      {.model_type = "flava",
       .tasks = {"feature-extraction"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component&) { return forward(tasks, inputs, model); },
       // Of vectors that are compared, and of heads for training.
       .ignorable_keys = {"*image_projection.*", "*text_projection.*", "*logit_scale",
                          "*embeddings.mask_token", "*embeddings.position_ids", "*embeddings.token_type_ids",
                          "image_codebook.*", "mim_head.*", "mlm_head.*", "itm_head.*", "mmm_image_head.*",
                          "mmm_text_head.*"}});
}

}  // namespace onnxport::models
