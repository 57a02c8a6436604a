// LFM2 with a mixture of experts. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/lfm2_moe/modeling_lfm2_moe.py
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/lfm2.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"

namespace onnxport::models {
namespace {

bool attends(const PretrainedConfig& c, std::int64_t layer) {
  const auto types = kinds_of_layers(c, "layer_types", {"conv", "full_attention"});
  return types.at(static_cast<std::size_t>(layer)) == "full_attention";
}

class Lfm2MoeOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    if (!attends(c, layer))
      return {fixed_state(layer, "conv", {c.integer("hidden_size"), c.integer("conv_L_cache")})};
    const nn::HeadSizes heads = TextDecoderConfig(c).heads;
    return key_value(layer, heads.kv_heads, heads.head_dim);
  }
};

// The weights of a token sum to a little less than one.
nn::Routing nearly_normalized(nn::Routing routing) {
  return [routing = std::move(routing)](Value logits) {
    nn::Routes routes = routing(logits);
    const Value sum = op::add(op::sum(routes.values, -1, true), 1e-6);
    routes.values = op::div(routes.values, sum);
    return routes;
  };
}

nn::FeedForward mixture(const Scope& s, const TextDecoderConfig& c, const PretrainedConfig& config) {
  const nn::ExpertSizes sizes{c.hidden_size, config.integer("moe_intermediate_size"),
                              config.integer("num_experts")};
  const std::int64_t chosen = config.integer("num_experts_per_tok");
  nn::Routing routing = nn::largest_scores(op::sigmoid, chosen);
  if (config.flag("use_expert_bias")) {
    const Weight bias = s.weight("expert_bias", {sizes.experts});
    routing = nn::preferred_scores(op::sigmoid, nn::plus_bias(bias), chosen);
  }
  if (config.flag("norm_topk_prob")) routing = nearly_normalized(routing);
  routing = nn::multiplied(routing, config.real("routed_scaling_factor"));
  return nn::SparseMixture(s, sizes, routing, "silu", {.gate = "w1", .up = "w3", .down = "w2"});
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig config = lfm2_usual_keys(model.config());
  TextDecoderConfig c(config);
  c.last_norm = "embedding_norm";
  const std::int64_t dense = config.integer("num_dense_layers");
  const auto mixer = [&](const Scope& s, std::int64_t i) {
    if (attends(config, i)) return lfm2_attention(s / "self_attn", i, c);
    return without_padding(lfm2_short_conv(s / "conv", i, config));
  };
  const auto mlp = [&](const Scope& s, std::int64_t i) -> nn::FeedForward {
    if (i < dense) return lfm2_mlp(s, c, c.intermediate_size);
    return mixture(s, c, config);
  };
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return nn::PreNormBlock{.before_attention = c.norm(s / "operator_norm"),
                            .attention = mixer(s, i),
                            .before_mlp = c.norm(s / "ffn_norm"),
                            .mlp = mlp(s / "feed_forward", i)};
  });
}

}  // namespace

void register_lfm2_moe(TasksManager& tasks) {
  tasks.register_model<Lfm2MoeOnnxConfig>({.model_type = "lfm2_moe",
                                           .tasks = nn::text_decoder_tasks({}),
                                           .forward = forward,
                                           .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
