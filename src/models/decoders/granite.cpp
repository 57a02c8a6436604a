// Granite. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/granite/modeling_granite.py
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/granite.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

class GraniteOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c = granite_config(config);
  const bool mlp_bias = config.flag("mlp_bias", false);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return granite_block(c, config, s, i, c.mlp(s / "mlp", mlp_bias));
  });
}

}  // namespace

GgufLayout gguf_granite(std::string architecture, std::string original_class) {
  GgufLayout layout = turning_gguf(std::move(original_class), std::move(architecture));
  add_keys(layout, {{"attention.scale", "attention_multiplier"},
                    {"embedding_scale", "embedding_multiplier"},
                    {"residual_scale", "residual_multiplier"},
                    {"logit_scale", "logits_scaling"}});
  return layout;
}

TextDecoderConfig granite_config(const PretrainedConfig& config) {
  TextDecoderConfig c(config);
  c.embedding_scale = config.real("embedding_multiplier");
  c.logit_scale = 1 / config.real("logits_scaling");
  return c;
}

nn::Block granite_block(const TextDecoderConfig& c, const PretrainedConfig& config, const Scope& s,
                        std::int64_t layer, nn::FeedForward mlp) {
  return granite_block(c, config, s, c.attention(s / "self_attn", layer), std::move(mlp));
}

nn::Block granite_block(const TextDecoderConfig& c, const PretrainedConfig& config, const Scope& s,
                        nn::CausalAttentionParts attention, nn::FeedForward mlp) {
  attention.options.scale = config.real("attention_multiplier");
  const double factor = config.real("residual_multiplier");
  return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                          .attention = nn::scaled(nn::CausalAttention(std::move(attention)), factor),
                          .before_mlp = c.norm(s / "post_attention_layernorm"),
                          .mlp = nn::scaled(std::move(mlp), factor)};
}

void register_granite(TasksManager& tasks) {
  tasks.register_model<GraniteOnnxConfig>({.model_type = "granite",
                                           .tasks = nn::text_decoder_tasks({}),
                                           .forward = forward,
                                           .key_names = tied("model.embed_tokens", "lm_head"),
                                           .gguf = gguf_granite("granite", "GraniteForCausalLM")});
}

}  // namespace onnxport::models
