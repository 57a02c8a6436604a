// HyperCLOVA X. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/hyperclovax/modeling_hyperclovax.py
#include <utility>

#include "models/common/definition.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

struct Config : TextDecoderConfig {
  bool mlp_bias, use_post_norm;
  double residual_multiplier;
  std::optional<double> attention_multiplier;

  explicit Config(const PretrainedConfig& c)
      : TextDecoderConfig(c),
        mlp_bias(c.flag("mlp_bias")),
        use_post_norm(c.flag("use_post_norm")),
        residual_multiplier(c.real("residual_multiplier")),
        attention_multiplier(c.maybe_real("attention_multiplier")) {
    embedding_scale = c.real("embedding_multiplier");
    logit_scale = c.real("logits_scaling");
  }
};

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  nn::CausalAttentionParts attention = c.attention(s / "self_attn", layer);
  attention.options.scale = c.attention_multiplier;
  const auto after = [&](const char* key) -> nn::Norm {
    const nn::Norm same = [](Value x) { return x; };
    return nn::scaled(c.use_post_norm ? c.norm(s / key) : same, c.residual_multiplier);
  };
  return nn::SandwichBlock{.before_attention = c.norm(s / "input_layernorm"),
                           .attention = nn::CausalAttention(std::move(attention)),
                           .after_attention = after("post_norm1"),
                           .before_mlp = c.norm(s / "post_attention_layernorm"),
                           .mlp = c.mlp(s / "mlp", c.mlp_bias),
                           .after_mlp = after("post_norm2")};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  return forward_text_decoder(inputs, model, component, c,
                              [&](const Scope& s, std::int64_t i) { return make_block(s, i, c); });
}

}  // namespace

void register_hyperclovax(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "hyperclovax",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
