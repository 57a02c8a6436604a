// The text model of Mistral 4. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/mistral4/modeling_mistral4.py
#include <fmt/format.h>

#include "models/decoders/common/latent.h"
#include "models/decoders/common/layers.h"
#include "models/decoders/common/mistral.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

constexpr const char* kRope = R"({"rope_type": "yarn", "rope_theta": 10000.0, "factor": 128.0,
    "original_max_position_embeddings": 8192, "beta_fast": 32.0, "beta_slow": 1.0, "mscale_all_dim": 1.0,
    "mscale": 1.0, "llama_4_scaling_beta": 0.1})";

/// The softmax over all experts; those outside the best groups score 0.
nn::Routing routing_of(const PretrainedConfig& config) {
  const nn::ExpertGroups groups{config.integer("n_group"), config.integer("topk_group"), 2};
  const auto preference = [groups](Value scores) { return nn::within_best_groups(scores, groups); };
  nn::Routing routing =
      nn::preferred_scores(nn::softmax_scores, preference, config.integer("num_experts_per_tok"));
  if (config.flag("norm_topk_prob")) routing = nn::normalized(routing, 1e-20);
  return nn::multiplied(routing, config.real("routed_scaling_factor"));
}

/// The rotation of the last part of each head. The settings count it as a part of the whole head.
nn::RopeParameters rope_of(const PretrainedConfig& config, const nn::LatentAttentionParameters& latent) {
  const std::int64_t head = latent.plain_dim + latent.turned_dim;
  const double part = static_cast<double>(latent.turned_dim) / static_cast<double>(head);
  nn::RopeParameters rope = rope_parameters(config, head, {.partial_rotary_factor = part});
  if (rope.dim == latent.turned_dim) return rope;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: partial_rotary_factor makes {} of {} elements turn, expected "
                                "qk_rope_head_dim, {}",
                                config.origin(), rope.dim, head, latent.turned_dim));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = with_usual_rope(model.config(), kRope);
  const TextDecoderConfig c(config);
  nn::LatentAttentionParameters latent = latent_attention_parameters(config, c);
  const nn::RopeParameters rope = rope_of(config, latent);
  latent.rotate = deepseek_rotation(rope, config.flag("rope_interleave"));
  const nn::PositionScale scale = position_scale(config, rope);
  const nn::Routing routing = routing_of(config);
  const std::int64_t first = config.integer("first_k_dense_replace");
  const auto mlp = [&](const Scope& s, std::int64_t layer) -> nn::FeedForward {
    if (layer >= first) return deepseek_mixture(s, config, c, routing);
    return c.mlp(s);
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::LatentAttentionParts attention = latent_parts(s / "self_attn", i, config, c, latent);
    attention.query = [query = attention.query, scale](Value x, const nn::DecoderPass& pass) {
      nn::LatentQuery made = query(x, pass);
      made.query = nn::scaled_by_position(made.query, pass.position_ids(), scale);
      return made;
    };
    return latent_block(c, s, nn::LatentAttention(std::move(attention)), mlp(s / "mlp", i));
  });
}

}  // namespace

void register_mistral4(TasksManager& tasks) {
  tasks.register_model<LatentCacheOnnxConfig>({.model_type = "mistral4",
                                               .tasks = nn::text_decoder_tasks(),
                                               .forward = forward,
                                               .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
