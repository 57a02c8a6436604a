#include "models/decoders/common/latent.h"

#include <fmt/format.h>

#include <limits>
#include <string>
#include <utility>

#include "onnxport/error.h"

namespace onnxport::models {

std::vector<StateSpec> LatentCacheOnnxConfig::layer_states(std::int64_t layer) const {
  const PretrainedConfig c = config().unaccounted();
  return key_value(layer, 1, c.integer("kv_lora_rank"), c.integer("qk_rope_head_dim"));
}

nn::LatentAttentionParameters turning_latent_parameters(const PretrainedConfig& config,
                                                        const TextDecoderConfig& c, bool interleaved) {
  nn::LatentAttentionParameters p = latent_attention_parameters(config, c);
  p.rotate = deepseek_rotation(rope_parameters(config, p.turned_dim), interleaved);
  return p;
}

nn::LatentAttentionParts latent_parts(const Scope& s, std::int64_t layer, const PretrainedConfig& config,
                                      const TextDecoderConfig& c, const nn::LatentAttentionParameters& p) {
  nn::LatentAttentionParts parts = nn::cached_latent_attention(s, layer, p);
  parts.options.scale = deepseek_score_scale(config, p.plain_dim + p.turned_dim);
  parts.mask = nn::sees({}, c.no_keys);
  return parts;
}

nn::Block latent_block(const TextDecoderConfig& c, const Scope& s, nn::Mixer attention, nn::FeedForward mlp) {
  return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                          .attention = std::move(attention),
                          .before_mlp = c.norm(s / "post_attention_layernorm"),
                          .mlp = std::move(mlp)};
}

nn::FeedForward grouped_mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const Weight bias = (s / "gate").weight("e_score_correction_bias", {config.integer("n_routed_experts")});
  return deepseek_mixture(s, config, c, deepseek_routing(config, bias, std::numeric_limits<float>::lowest()));
}

void require_query_rank(const PretrainedConfig& config) {
  if (config.has("q_lora_rank")) return;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: q_lora_rank is null, expected a number", config.origin()));
}

}  // namespace onnxport::models
