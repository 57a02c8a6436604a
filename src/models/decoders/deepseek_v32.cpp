// DeepSeek V3.2. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/deepseek_v32/modeling_deepseek_v32.py
#include <fmt/format.h>

#include <utility>

#include "models/decoders/common/latent.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = with_routed_experts(model.config());
  const TextDecoderConfig c(config);
  const nn::LatentAttentionParameters latent = turning_latent_parameters(config, c, true);
  const nn::KeyIndexerParameters indexer =
      indexer_parameters(config, c, rope_parameters(config, latent.turned_dim), IndexerTurns::first_halves);
  const std::vector<bool> sparse = sparse_layers(config, c.num_hidden_layers);
  config.harmless({"layer_types", "mlp_bias"});  // not used by the original
  const auto mlp = [&](const Scope& s, std::int64_t layer) -> nn::FeedForward {
    if (sparse.at(layer)) return grouped_mixture(s, config, c);
    return c.mlp(s);
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const Scope self = s / "self_attn";
    nn::LatentAttentionParts attention = latent_parts(self, i, config, c, latent);
    attention.selection = kept_by(nn::KeyIndexer(self / "indexer", i, indexer));
    return latent_block(c, s, nn::LatentAttention(std::move(attention)), mlp(s / "mlp", i));
  });
}

}  // namespace

PretrainedConfig with_routed_experts(const PretrainedConfig& config) {
  const auto experts = config.maybe_integer("num_experts");
  return experts ? config.settled("n_routed_experts", fmt::format("{}", *experts)) : config;
}

void register_deepseek_v32(TasksManager& tasks) {
  tasks.register_model<IndexedLatentOnnxConfig>(
      {.model_type = "deepseek_v32",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .ignorable_keys = {"*.rotary_emb.inv_freq",
                          "model.layers.61.*"},  // the latter predicts further tokens
       .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
