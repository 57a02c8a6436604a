// Kolibri 1. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/kolibri1/modeling_kolibri1.py
#include <utility>

#include "models/common/definition.h"
#include "models/decoders/common/experts.h"
#include "models/decoders/common/layers.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

/// The sigmoid of the logits of those experts that a bias makes the largest.
nn::Routing biased_routing(const PretrainedConfig& config, const Weight& bias) {
  const nn::Scores same = [](Value logits) { return logits; };
  const nn::Routing chosen =
      nn::preferred_scores(same, nn::plus_bias(bias), config.integer("num_experts_per_tok"));
  const nn::Routing routing = [chosen](Value logits) {
    nn::Routes routes = chosen(logits);
    routes.values = op::sigmoid(routes.values);
    return routes;
  };
  return config.flag("norm_topk_prob") ? nn::normalized(routing) : routing;
}

nn::FeedForward mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const Scope mlp = s / "mlp";
  const nn::ExpertSizes experts{c.hidden_size, config.integer("moe_intermediate_size"),
                                config.integer("num_experts")};
  const Weight bias = (s / "moe" / "router").weight("expert_bias", {experts.experts});
  return nn::sum_of(
      nn::SparseMixture(mlp, experts, biased_routing(config, bias), c.hidden_act),
      mlp_of_width(c, mlp / "shared_experts", config.integer("shared_expert_intermediate_size")));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = model.config().settled("intermediate_size", "0");  // no key of this class
  TextDecoderConfig c(config);
  c.attention_bias = false;
  const bool slides = config.maybe_integer("sliding_window").has_value();
  const auto visible =
      layer_visibility(config, c.num_hidden_layers, [](std::int64_t i) { return (i + 1) % 5 == 0; });
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = c.normed_attention(s / "self_attn", i, visible.at(i));
    if (slides && !visible.at(i).window) attention.rotary.reset();
    return nn::SandwichBlock{.before_attention = c.norm(s / "input_layernorm"),
                             .attention = nn::CausalAttention(std::move(attention)),
                             .after_attention = c.norm(s / "post_attn_norm"),
                             .before_mlp = c.norm(s / "post_attention_layernorm"),
                             .mlp = mixture(s, config, c),
                             .after_mlp = c.norm(s / "post_ffn_norm")};
  });
}

}  // namespace

void register_kolibri1(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "kolibri1",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .key_names = {.newer = {{"moe.router.expert_bias", "mlp.gate.e_score_correction_bias"},
                               {"post_attn_norm", "post_self_attn_layernorm"},
                               {"post_ffn_norm", "post_mlp_layernorm"}},
                     .embeddings = {"model.embed_tokens.weight"},
                     .head = "lm_head.weight"}});
}

}  // namespace onnxport::models
