// AFMoE (Trinity). Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/afmoe/modeling_afmoe.py
#include <cmath>

#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/layers.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/nn/gated_attention.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// Only layers that slide turn.
nn::Mixer attention(const Scope& s, std::int64_t layer, const nn::Visibility& visible,
                    const TextDecoderConfig& c) {
  nn::CausalAttentionParts parts = c.normed_attention(s, layer, visible);
  if (!visible.window) parts.rotary.reset();
  const nn::Linear gate(s / "gate_proj", c.hidden_size, c.heads.heads * c.heads.head_dim, false);
  return nn::gated_attention(std::move(parts), [gate](Value x) { return op::sigmoid(gate(x)); });
}

nn::FeedForward mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const std::int64_t width = config.integer("moe_intermediate_size");
  const nn::ExpertSizes z{c.hidden_size, width, config.integer("num_experts")};
  const nn::Scores preference = nn::plus_bias(s.weight("expert_bias", {z.experts}));
  const nn::Routing chosen =
      nn::preferred_scores(op::sigmoid, preference, config.integer("num_experts_per_tok"));
  const nn::Router router(nn::Linear(s / "router" / "gate", z.hidden_size, z.experts, false),
                          nn::multiplied(nn::normalized(chosen, 1e-20), config.real("route_scale", 1.0)));
  const nn::Experts experts(nn::expert_weights(s / "experts", z), c.hidden_act);
  return nn::sum_of(mlp_of_width(c, s / "shared_experts", width * config.integer("num_shared_experts")),
                    nn::SparseMixture(s.path(), router, experts));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  if (config.flag("mup_enabled")) c.embedding_scale = std::sqrt(static_cast<double>(c.hidden_size));
  const std::int64_t every = interval_of(config, "global_attn_every_n_layers", 1);
  const auto visible = layer_visibility(config, c.num_hidden_layers,
                                        [every](std::int64_t layer) { return (layer + 1) % every == 0; });
  const std::int64_t dense = config.integer("num_dense_layers");
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const auto mlp = [&]() -> nn::FeedForward {
      if (i < dense) return c.mlp(s / "mlp");
      return mixture(s / "mlp", config, c);
    };
    return nn::SandwichBlock{
        .before_attention = c.norm(s / "input_layernorm"),
        .attention = attention(s / "self_attn", i, visible.at(static_cast<std::size_t>(i)), c),
        .after_attention = c.norm(s / "post_attention_layernorm"),
        .before_mlp = c.norm(s / "pre_mlp_layernorm"),
        .mlp = mlp(),
        .after_mlp = c.norm(s / "post_mlp_layernorm")};
  });
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("afmoe", "AfmoeForCausalLM");
  add_expert_keys(layout, "num_experts");
  add_keys(layout, {{"attention.key_length", "head_dim"},
                    {"attention.sliding_window", "sliding_window"},
                    {"expert_shared_count", "num_shared_experts"},
                    {"leading_dense_block_count", "num_dense_layers"},
                    {"expert_weights_scale", "route_scale"}});
  // Every published model of this type has this value, and llama.cpp assumes it.
  add_config(layout, [](const GgufInfo&) { return ConfigTexts{{"mup_enabled", "true"}}; });
  add_names(layout, gguf_experts("mlp", "gate_proj", "up_proj", "down_proj"));
  add_names(layout, gguf_shared_expert("mlp.shared_experts"));
  add_layer_names(layout, {{"attn_gate", "self_attn.gate_proj"},
                           {"post_attention_norm", "post_attention_layernorm"},
                           {"ffn_norm", "pre_mlp_layernorm"},
                           {"post_ffw_norm", "post_mlp_layernorm"},
                           {"ffn_gate_inp", "mlp.router.gate"},
                           {"exp_probs_b.bias", "mlp.expert_bias"}});
  return layout;
}

}  // namespace

void register_afmoe(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "afmoe",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
