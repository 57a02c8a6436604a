// MiniCPM 3. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/minicpm3/modeling_minicpm3.py
#include <fmt/format.h>

#include <cmath>

#include "models/decoders/common/latent.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

/// The config with the size of values that the class fills in.
PretrainedConfig with_value_size(const PretrainedConfig& config) {
  const std::int64_t hidden = config.integer("hidden_size"), heads = config.integer("num_attention_heads");
  check_heads(config, hidden, heads);
  if (config.has("v_head_dim")) return config;
  return config.settled("v_head_dim", fmt::format("{}", hidden / heads));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = with_value_size(model.config());
  TextDecoderConfig c(config);
  const nn::LatentAttentionParameters latent = turning_latent_parameters(config, c, false);
  const bool bias = config.flag("mlp_bias");
  c.embedding_scale = config.real("scale_emb");
  const auto base = config.maybe_real("dim_model_base");
  if (base) c.logit_scale = *base / static_cast<double>(c.hidden_size);
  const double depth = std::sqrt(static_cast<double>(c.num_hidden_layers));
  const double factor = config.maybe_real("scale_depth").value_or(depth) / depth;
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const nn::LatentAttention attention(latent_parts(s / "self_attn", i, config, c, latent));
    return latent_block(c, s, nn::scaled(attention, factor), nn::scaled(c.mlp(s / "mlp", bias), factor));
  });
}

}  // namespace

void register_minicpm3(TasksManager& tasks) {
  tasks.register_model<LatentCacheOnnxConfig>({.model_type = "minicpm3",
                                               .tasks = nn::text_decoder_tasks(),
                                               .forward = forward,
                                               .ignorable_keys = {"*.rotary_emb.inv_freq"},
                                               .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
