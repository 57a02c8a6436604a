// A.X K2. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/axk2/modeling_axk2.py
#include <utility>

#include "models/decoders/common/experts.h"
#include "models/decoders/common/latent.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

/// The norm of each token, times the sigmoid of a feed-forward of it with few features.
nn::Norm gated_norm(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const std::int64_t rank = config.integer("gated_norm_rank");
  const nn::Mlp gate(s.path(), nn::Linear(s / "W_down", c.hidden_size, rank, false),
                     nn::Linear(s / "W_up", rank, c.hidden_size, false), "silu");
  return [norm = c.norm(s / "norm"), gate](Value x) {
    const Value normed = norm(x);
    return op::mul(normed, op::sigmoid(gate(normed)));
  };
}

/// One layer makes queries and the gates of the results, from the short vector before and after its norm.
nn::LatentQueries query_layers(const Scope& s, const nn::LatentAttentionParameters& p) {
  const std::int64_t rank = *p.query_rank, key = p.plain_dim + p.turned_dim, head = key + p.value_dim;
  const nn::Linear down(s / "q_a_proj", p.hidden_size, rank, p.bias);
  const nn::RmsNorm norm(s / "q_a_layernorm", rank, {});
  const nn::Linear up(s / "q_b_proj", 2 * rank, p.heads * head, false);
  return [=](Value x, const nn::DecoderPass&) -> nn::LatentQuery {
    const Dim &batch = x.dim(0), &length = x.dim(1);
    const Value given = down(x);
    const Value normed = norm(given);
    const Value both = op::reshape(up(op::concat({normed, given}, 2)), {batch, length, p.heads, head});
    const std::vector<Value> parts = op::split(both, 3, {key, p.value_dim});
    const Value query = op::reshape(parts[0], {batch, length, p.heads * key});
    return {.query = query,
            .latent = normed,
            .gate = op::reshape(parts[1], {batch, length, p.heads * p.value_dim})};
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  const nn::LatentAttentionParameters latent = turning_latent_parameters(config, c, true);
  const nn::KeyIndexerParameters indexer =
      indexer_parameters(config, c, rope_parameters(config, latent.turned_dim), IndexerTurns::first_halves);
  const std::vector<bool> sparse = sparse_layers(config, c.num_hidden_layers, [&](std::int64_t layer) {
    return layer >= config.integer("first_k_dense_replace") &&
           layer % interval_of(config, "moe_layer_freq") == 0;
  });
  config.harmless({"layer_types"});  // not used by the original
  const auto mixture = [&](const Scope& s) {
    const Weight bias = (s / "gate").weight("e_score_correction_bias", {config.integer("n_routed_experts")});
    return deepseek_mixture(s, config, c, deepseek_routing(config, bias, 0));
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn", after = s / "post_attention_layernorm";
    nn::LatentAttentionParts attention = latent_parts(self, i, config, c, latent, query_layers(self, latent));
    attention.selection = kept_by(nn::KeyIndexer(self / "indexer", i, indexer));
    const bool routed = sparse.at(i);
    return nn::PreNormBlock{.before_attention = gated_norm(s / "input_layernorm", config, c),
                            .attention = nn::LatentAttention(std::move(attention)),
                            .before_mlp = routed ? gated_norm(after, config, c) : c.norm(after),
                            .mlp = routed ? mixture(s / "mlp") : nn::FeedForward(c.mlp(s / "mlp"))};
  });
}

}  // namespace

void register_axk2(TasksManager& tasks) {
  tasks.register_model<IndexedLatentOnnxConfig>(
      {.model_type = "axk2",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"*.rotary_emb.inv_freq"},
       .key_names = {.newer = {{"self_attn.q_b_proj", "self_attn.q_gate_proj"},
                               {"W_down", "mlp.fc1"},
                               {"W_up", "mlp.fc2"}},
                     .embeddings = {"model.embed_tokens.weight"},
                     .head = "lm_head.weight"}});
}

}  // namespace onnxport::models
