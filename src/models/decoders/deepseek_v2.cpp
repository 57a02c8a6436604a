// DeepSeek V2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/deepseek_v2/modeling_deepseek_v2.py
#include <fmt/format.h>

#include "models/decoders/common/deepseek.h"
#include "models/decoders/common/experts.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

nn::Scores routing_scores(const PretrainedConfig& config) {
  const std::string method = config.string("topk_method");
  if (method == "greedy") {
    config.harmless({"n_group", "topk_group"});
    return nn::softmax_scores;
  }
  if (method != "group_limited_greedy") {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("topk_method is '{}', expected greedy or group_limited_greedy", method));
  }
  const nn::ExpertGroups groups{config.integer("n_group"), config.integer("topk_group")};
  return [groups](Value logits) { return nn::within_best_groups(nn::softmax_scores(logits), groups); };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  config.harmless({"aux_loss_alpha", "seq_aux"});  // of losses
  config.harmless({"norm_topk_prob"});             // not used by the original
  nn::LatentAttentionParameters latent = latent_attention_parameters(config, c);
  nn::RopeParameters rope = rope_parameters(config, latent.turned_dim);
  rope.interleaved = true;
  latent.rotate = [rotary = nn::RotaryEmbedding("rotary_emb", rope)](Value x, std::int64_t heads,
                                                                     const nn::DecoderPass& pass) {
    return nn::turned(x, rotary(pass.position_ids()), heads);
  };
  const bool bias = config.flag("mlp_bias");
  const std::int64_t width = config.integer("moe_intermediate_size");
  const nn::ExpertSizes experts{c.hidden_size, width, config.integer("n_routed_experts")};
  const nn::Routing routing =
      nn::multiplied(nn::largest_scores(routing_scores(config), config.integer("num_experts_per_tok")),
                     config.real("routed_scaling_factor"));
  const std::int64_t shared = width * config.integer("n_shared_experts");
  const std::int64_t first = config.integer("first_k_dense_replace");
  const auto mlp = [&](const Scope& s, std::int64_t layer) -> nn::FeedForward {
    if (layer < first) return c.mlp(s, bias);
    return nn::sum_of(nn::SparseMixture(s, experts, routing, c.hidden_act),
                      mlp_of_width(c, s / "shared_experts", shared, bias));
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = nn::latent_attention(s / "self_attn", i, latent);
    attention.mask = nn::sees({}, c.no_keys);
    // Version 4 scales as without yarn.
    if (config.transformers_major() >= 5)
      attention.options.scale = deepseek_score_scale(config, latent.plain_dim + latent.turned_dim);
    return c.block(s, std::move(attention), mlp(s / "mlp", i));
  });
}

}  // namespace

void register_deepseek_v2(TasksManager& tasks) {
  tasks.register_model<LatentAttentionOnnxConfig>({.model_type = "deepseek_v2",
                                                   .tasks = nn::text_decoder_tasks(),
                                                   .forward = forward,
                                                   .ignorable_keys = {"*.rotary_emb.inv_freq"},
                                                   .key_names = tied("model.embed_tokens", "lm_head"),
                                                   .gguf = gguf_deepseek("DeepseekV2ForCausalLM", false)});
}

}  // namespace onnxport::models
