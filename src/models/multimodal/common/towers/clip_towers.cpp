#include <fmt/format.h>

#include "models/multimodal/common/towers/clip.h"
#include "onnxport/error.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {

TowerConfig::TowerConfig(const PretrainedConfig& c)
    : hidden_size(c.integer("hidden_size")),
      num_hidden_layers(c.integer("num_hidden_layers")),
      num_attention_heads(c.integer("num_attention_heads")),
      intermediate_size(c.integer("intermediate_size")),
      hidden_act(c.string("hidden_act")),
      layer_norm_eps(c.real("layer_norm_eps")) {
  check_heads(c, hidden_size, num_attention_heads);
}

nn::EncoderLayerParameters TowerConfig::layer() const {
  return {.attention = {.hidden_size = hidden_size,
                        .heads = num_attention_heads,
                        .query = "q_proj",
                        .key = "k_proj",
                        .value = "v_proj",
                        .output = "out_proj"},
          .intermediate_size = intermediate_size,
          .activation = hidden_act,
          .eps = layer_norm_eps,
          .attention_key = "self_attn",
          .attention_norm = "layer_norm1",
          .up = "mlp.fc1",
          .down = "mlp.fc2",
          .output_norm = "layer_norm2"};
}

TextTowerConfig::TextTowerConfig(const PretrainedConfig& c)
    : TowerConfig(c),
      vocab_size(c.integer("vocab_size")),
      max_position_embeddings(c.integer("max_position_embeddings")) {
  c.harmless({"pad_token_id"});  // the table has no row of its own for it
}

ImageTowerConfig::ImageTowerConfig(const PretrainedConfig& c)
    : TowerConfig(c),
      num_channels(c.integer("num_channels", 3)),
      image_size(c.integer("image_size")),
      patch_size(c.integer("patch_size")) {
  if (patch_size < 1 || image_size < patch_size) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: image_size is {} and patch_size {}, expected at least one patch",
                                  c.origin(), image_size, patch_size));
  }
}

NormalizedConfig normalized_towers(const PretrainedConfig& text, const PretrainedConfig& vision) {
  PretrainedConfig both = text.unaccounted();
  const NormalizedConfig images = NormalizedVisionConfig(vision);
  if (const auto channels = images.maybe("num_channels"))
    both = both.with("num_channels", std::to_string(*channels));
  if (const std::vector<std::int64_t> size = images.list("image_size"); size.size() == 1) {
    both = both.with("image_size", std::to_string(size.front()));
  } else if (!size.empty()) {
    both = both.with("image_size", fmt::format("[{}]", fmt::join(size, ", ")));
  }
  return NormalizedTextConfig(both);
}

bool is_projected(const PretrainedConfig& config) {
  const std::vector<std::string> classes = config.architectures();
  return !classes.empty() && classes.front().ends_with("WithProjection");
}

TextTower::TextTower(const Scope& s, const TextTowerConfig& c)
    : path((s / "embeddings").path()),
      tokens(s / "embeddings" / "token_embedding", c.vocab_size, c.hidden_size),
      positions(s / "embeddings" / "position_embedding", c.max_position_embeddings, c.hidden_size),
      encoder(s / "encoder" / "layers", c.num_hidden_layers, c.layer()),
      norm(s / "final_layer_norm", c.hidden_size, c.layer_norm_eps) {}

std::vector<Value> TextTower::states(Value input_ids, const op::AttentionMask& mask) const {
  Value x = tokens(input_ids);
  {
    const ModulePath at(x, path);
    x = op::add(x, positions.first(x.graph(), x.dim(1)));
  }
  return encoder.states(x, mask);
}

Value embed_patches(const Scope& s, const ImageTowerConfig& c, Value pixel_values, bool bias) {
  const ModulePath at(pixel_values, s.path());
  const std::int64_t size = c.patch_size;
  const nn::Conv2d conv(s / "patch_embedding", c.num_channels, c.hidden_size, {size, size}, bias,
                        {.stride = {size, size}});
  return nn::image_to_tokens(conv(pixel_values));
}

Value add_class_token(const Scope& embeddings, Value patches, const Weight& class_token, Value positions) {
  const ModulePath at(patches, embeddings.path());
  const Value one = patches.graph().weight(class_token);
  const Value first = op::expand(one, {patches.dim(0), 1, patches.dim(2)});
  return op::add(op::concat({first, patches}, 1), positions);
}

Value add_class_token(const Scope& embeddings, Value patches, const Weight& class_token,
                      const Weight& positions) {
  return add_class_token(embeddings, patches, class_token, patches.graph().weight(positions));
}

NamedValues compare_towers(Value text, Value image, const Weight& logit_scale, const Weight& bias) {
  Graph& graph = text.graph();
  const Value text_embeds = op::normalize(text, 1);
  const Value image_embeds = op::normalize(image, 1);
  const Value scale = op::exp(graph.weight(logit_scale));
  Value per_text = op::mul(op::linear(text_embeds, image_embeds), scale);
  if (bias) per_text = op::add(per_text, graph.weight(bias));
  return {{"logits_per_image", op::transpose(per_text, 0, 1)},
          {"logits_per_text", per_text},
          {"text_embeds", text_embeds},
          {"image_embeds", image_embeds}};
}

}  // namespace onnxport::models
