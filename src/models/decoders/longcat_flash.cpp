// LongCat Flash. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/longcat_flash/modeling_longcat_flash.py
#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>

#include "models/decoders/common/latent.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"

namespace onnxport::models {
namespace {

/// Each layer has two attentions.
class LongcatFlashOnnxConfig : public LatentCacheOnnxConfig {
 public:
  using LatentCacheOnnxConfig::LatentCacheOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return LatentCacheOnnxConfig::normalized_config().with_args({{"num_layers", "num_layers"}});
  }
  std::vector<StateSpec> states() const override {
    std::vector<StateSpec> all;
    for (std::int64_t i = 0; i < 2 * config().unaccounted().integer("num_layers"); ++i) {
      for (StateSpec& state : layer_states(i)) all.push_back(std::move(state));
    }
    return all;
  }
};

/// Routed experts, and some that give back what they get.
class Mixture {
 public:
  Mixture(const Scope& s, const PretrainedConfig& config, const TextDecoderConfig& c)
      : path_(s.path()),
        sizes_{c.hidden_size, config.integer("expert_ffn_hidden_size"), config.integer("n_routed_experts")},
        identities_(config.maybe_integer("zero_expert_num").value_or(0)),
        router_(nn::Linear(s / "router" / "classifier", c.hidden_size, all(), false),
                routing(s / "router", config)),
        experts_(weights(s / "experts"), c.hidden_act) {}

  Value operator()(Value x) const {
    const ModulePath at(x, path_);
    const Value tokens = op::reshape(x, {x.dim(0) * x.dim(1), sizes_.hidden_size});
    const Value matrix = nn::routing_matrix(router_(tokens), all());
    if (identities_ == 0) return op::reshape(experts_(tokens, matrix), x.shape());
    const std::vector<Value> parts = op::split(matrix, 1, {sizes_.experts, identities_});
    const Value routed = experts_(tokens, parts[0]);
    const Value same = op::mul(tokens, op::sum(parts[1], 1, true));
    return op::reshape(op::add(routed, same), x.shape());
  }

 private:
  std::int64_t all() const { return sizes_.experts + identities_; }

  nn::Routing routing(const Scope& s, const PretrainedConfig& config) const {
    const nn::Scores preference = nn::plus_bias(s.weight("e_score_correction_bias", {all()}));
    const nn::Routing chosen =
        nn::preferred_scores(nn::softmax_scores, preference, config.integer("moe_topk"));
    return nn::multiplied(chosen, config.real("routed_scaling_factor"));
  }

  /// The original also holds gates of the others, which it does not use.
  nn::ExpertWeights weights(const Scope& s) const {
    for (std::int64_t e = sizes_.experts; e < all(); ++e) s.ignore(fmt::format("{}", e));
    if (!s.has("gate_up_proj")) return nn::expert_weights(s, sizes_);
    const std::int64_t inner = sizes_.intermediate_size;
    const Weight gates = s.weight("gate_up_proj", {all(), 2 * inner, sizes_.hidden_size});
    return {.gate = gates.slice(0, 0, sizes_.experts),
            .up = {},
            .down = s.weight("down_proj", {sizes_.experts, sizes_.hidden_size, inner})};
  }

  std::string path_;
  nn::ExpertSizes sizes_;
  std::int64_t identities_;
  nn::Router router_;
  nn::Experts experts_;
};

/// The parts of a latent attention with queries and latents that grow with the width over their rank.
nn::LatentAttentionParts scaled_parts(nn::LatentAttentionParts parts) {
  const auto factor = [hidden = parts.sizes.hidden_size](std::int64_t rank) {
    return std::sqrt(static_cast<double>(hidden) / static_cast<double>(rank));
  };
  parts.query = [query = parts.query, by = factor(*parts.sizes.query_rank)](Value x,
                                                                            const nn::DecoderPass& pass) {
    nn::LatentQuery made = query(x, pass);
    made.query = op::mul(made.query, by);
    return made;
  };
  parts.norm = [norm = parts.norm, by = factor(parts.sizes.rank)](Value x) { return op::mul(norm(x), by); };
  return parts;
}

/// Two attentions and two feed-forwards. The mixture gets what the first feed-forward gets, and is added
/// last.
class ShortcutBlock {
 public:
  ShortcutBlock(const Scope& s, std::int64_t layer, const PretrainedConfig& config,
                const TextDecoderConfig& c, const nn::LatentAttentionParameters& latent)
      : mixture_(s / "mlp", config, c) {
    for (std::int64_t i = 0; i < 2; ++i) {
      nn::LatentAttentionParts parts = latent_parts(s / "self_attn" / i, 2 * layer + i, config, c, latent);
      halves_.push_back({.before_attention = c.norm(s / "input_layernorm" / i),
                         .attention = nn::LatentAttention(scaled_parts(std::move(parts))),
                         .before_mlp = c.norm(s / "post_attention_layernorm" / i),
                         .mlp = c.mlp(s / "mlps" / i)});
    }
  }

  Value operator()(Value x, nn::DecoderPass& pass) const {
    Value shortcut;
    for (const nn::PreNormBlock& half : halves_) {
      const Value attended = half.attention(half.before_attention(x), pass);
      x = op::add(x, attended);
      const Value normed = half.before_mlp(x);
      if (!shortcut) shortcut = mixture_(normed);
      x = op::add(x, half.mlp(normed));
    }
    return op::add(x, shortcut);
  }

 private:
  std::vector<nn::PreNormBlock> halves_;
  Mixture mixture_;
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& given = model.config();
  const PretrainedConfig config =
      given.settled("num_hidden_layers", fmt::format("{}", given.integer("num_layers")))
          .settled("intermediate_size", fmt::format("{}", given.integer("ffn_hidden_size")));
  const TextDecoderConfig c(config);
  require_query_rank(config);
  const nn::LatentAttentionParameters latent = turning_latent_parameters(config, c, true);
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return ShortcutBlock(s, i, config, c, latent);
  });
}

}  // namespace

void register_longcat_flash(TasksManager& tasks) {
  tasks.register_model<LongcatFlashOnnxConfig>({.model_type = "longcat_flash",
                                                .tasks = nn::text_decoder_tasks({}),
                                                .forward = forward,
                                                .ignorable_keys = {"model.mtp.*"},  // predicts further tokens
                                                .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
