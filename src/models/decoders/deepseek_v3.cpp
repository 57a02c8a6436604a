// DeepSeek V3 and R1. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/deepseek_v3/modeling_deepseek_v3.py
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "models/decoders/common/deepseek.h"
#include "models/decoders/common/experts.h"
#include "onnxport/error.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

/// The heads of x [B, S, heads * D] with their even elements first.
Value even_first(Value x, std::int64_t heads) {
  const std::int64_t half = *x.dim(2).constant() / heads / 2;
  const Value pairs = op::reshape(x, {x.dim(0), x.dim(1), heads, half, 2});
  return op::reshape(op::transpose(pairs, 3, 4), x.shape());
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  nn::LatentAttentionParameters latent = latent_attention_parameters(config, c);
  latent.rotate =
      deepseek_rotation(rope_parameters(config, latent.turned_dim), config.flag("rope_interleave"));
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    nn::CausalAttentionParts attention = nn::latent_attention(s / "self_attn", i, latent);
    attention.options.scale = deepseek_score_scale(config, latent.plain_dim + latent.turned_dim);
    attention.mask = nn::sees({}, c.no_keys);
    return c.block(s, std::move(attention), deepseek_mlp(s / "mlp", i, config, c));
  });
}

}  // namespace

std::vector<StateSpec> LatentAttentionOnnxConfig::states() const {
  const PretrainedConfig c = config().unaccounted();
  return key_values(c.integer("num_hidden_layers"), c.integer("num_attention_heads"),
                    c.integer("qk_nope_head_dim") + c.integer("qk_rope_head_dim"), c.integer("v_head_dim"));
}

nn::LatentAttentionParameters latent_attention_parameters(const PretrainedConfig& config,
                                                          const TextDecoderConfig& c) {
  if (c.heads.kv_heads != c.heads.heads) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("num_key_value_heads is {}, expected num_attention_heads, {}",
                                  c.heads.kv_heads, c.heads.heads));
  }
  config.harmless({"head_dim", "qk_head_dim"});  // sums or copies of the following
  return {.hidden_size = c.hidden_size,
          .heads = c.heads.heads,
          .query_rank = config.maybe_integer("q_lora_rank"),
          .rank = config.integer("kv_lora_rank"),
          .plain_dim = config.integer("qk_nope_head_dim"),
          .turned_dim = config.integer("qk_rope_head_dim"),
          .value_dim = config.integer("v_head_dim"),
          .bias = c.attention_bias};
}

std::function<Value(Value, std::int64_t, const nn::DecoderPass&)> deepseek_rotation(
    const nn::RopeParameters& rope, bool interleaved) {
  return [rotary = nn::RotaryEmbedding("rotary_emb", rope), interleaved](Value x, std::int64_t heads,
                                                                         const nn::DecoderPass& pass) {
    const Value ordered = interleaved ? even_first(x, heads) : x;
    return nn::turned(ordered, rotary(pass.position_ids()), heads);
  };
}

double deepseek_score_scale(const PretrainedConfig& config, std::int64_t head_dim) {
  const double usual = 1 / std::sqrt(static_cast<double>(head_dim));
  if (!config.has("rope_scaling") && !config.has("rope_parameters")) return usual;
  const PretrainedConfig rope = config.sub(config.has("rope_scaling") ? "rope_scaling" : "rope_parameters");
  const double mscale = rope.maybe_real("mscale_all_dim").value_or(0);
  const double factor = rope.maybe_real("factor").value_or(1);
  if (mscale == 0 || factor <= 1) return usual;
  const double scale = 0.1 * mscale * std::log(factor) + 1;
  return scale * scale * usual;
}

nn::Routing deepseek_routing(const PretrainedConfig& config, const Weight& bias, double outside) {
  const auto count = config.maybe_integer("n_group");
  const nn::ExpertGroups groups{count.value_or(1), count ? config.integer("topk_group") : 1, 2, outside};
  const nn::Scores balanced = bias ? nn::plus_bias(bias) : [](Value scores) { return scores; };
  const auto preference = [=](Value scores) { return nn::within_best_groups(balanced(scores), groups); };
  nn::Routing routing = nn::preferred_scores(op::sigmoid, preference, config.integer("num_experts_per_tok"));
  if (config.flag("norm_topk_prob")) routing = nn::normalized(routing, 1e-20);
  return nn::multiplied(routing, config.real("routed_scaling_factor"));
}

nn::FeedForward deepseek_mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c,
                                 const nn::Routing& routing) {
  const std::int64_t width = config.integer("moe_intermediate_size");
  const nn::ExpertSizes experts{c.hidden_size, width, config.integer("n_routed_experts")};
  return nn::sum_of(nn::SparseMixture(s, experts, routing, c.hidden_act),
                    mlp_of_width(c, s / "shared_experts", width * config.integer("n_shared_experts")));
}

nn::FeedForward deepseek_mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c) {
  const Weight bias = (s / "gate").weight("e_score_correction_bias", {config.integer("n_routed_experts")});
  // Version 5 hides the experts of other groups; in version 4, they score 0, which is more than some have.
  const double outside = config.transformers_major() >= 5 ? std::numeric_limits<float>::lowest() : 0;
  return deepseek_mixture(s, config, c, deepseek_routing(config, bias, outside));
}

nn::FeedForward deepseek_mlp(const Scope& s, std::int64_t layer, const PretrainedConfig& config,
                             const TextDecoderConfig& c) {
  if (layer < config.integer("first_k_dense_replace")) return c.mlp(s);
  return deepseek_mixture(s, config, c);
}

void register_deepseek_v3(TasksManager& tasks) {
  tasks.register_model<LatentAttentionOnnxConfig>(
      {.model_type = "deepseek_v3",
       .tasks = nn::text_decoder_tasks({}),
       .forward = forward,
       .ignorable_keys = {"*.rotary_emb.inv_freq",
                          "model.layers.61.*"},  // the latter predicts further tokens
       .key_names = tied("model.embed_tokens", "lm_head"),
       .gguf = gguf_deepseek("DeepseekV3ForCausalLM", true)});
}

}  // namespace onnxport::models
