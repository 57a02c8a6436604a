// A.X K1. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/axk1/modeling_axk1.py
#include "models/decoders/common/experts.h"
#include "models/decoders/common/latent.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

/// The mixture of DeepSeek V3 with a norm behind it. Published files have no bias of the choice.
nn::FeedForward mixture(const Scope& layer, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const Scope s = layer / "mlp";
  const Weight bias =
      (s / "gate").try_weight("e_score_correction_bias", {config.integer("n_routed_experts")});
  const nn::Routing routing = grouped_routing(config, bias);
  return [experts = deepseek_mixture(s, config, c, routing),
          norm = c.norm(layer / "post_mlp_layernorm")](Value x) { return norm(experts(x)); };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  require_query_rank(config);
  const nn::LatentAttentionParameters latent =
      turning_latent_parameters(config, c, config.flag("rope_interleave"));
  const std::vector<bool> sparse = sparse_layers(config, c.num_hidden_layers, [&](std::int64_t layer) {
    return layer >= config.integer("first_k_dense_replace") &&
           layer % interval_of(config, "moe_layer_freq") == 0;
  });
  const auto mlp = [&](const Scope& s, std::int64_t layer) -> nn::FeedForward {
    if (sparse.at(layer)) return mixture(s, config, c);
    s.ignore("post_mlp_layernorm");  // published, but not used
    return c.mlp(s / "mlp");
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const nn::LatentAttention attention(latent_parts(s / "self_attn", i, config, c, latent));
    return latent_block(c, s, attention, mlp(s, i));
  });
}

}  // namespace

void register_axk1(TasksManager& tasks) {
  tasks.register_model<LatentCacheOnnxConfig>(
      {.model_type = "axk1",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"*.rotary_emb.inv_freq"},
       .key_names = {.newer = {{"post_mlp_layernorm", "mlp.post_mlp_layernorm"}},
                     .embeddings = {"model.embed_tokens.weight"},
                     .head = "lm_head.weight"}});
}

}  // namespace onnxport::models
