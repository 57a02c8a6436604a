// Jamba. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/jamba/modeling_jamba.py
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/hybrid.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/nn/mamba.h"

namespace onnxport::models {
namespace {

bool attends(const PretrainedConfig& c, std::int64_t layer) {
  return layer % c.integer("attn_layer_period") == c.integer("attn_layer_offset");
}

nn::MambaParameters mamba_of(const PretrainedConfig& c) {
  const std::int64_t hidden = c.integer("hidden_size");
  return {.hidden_size = hidden,
          .intermediate_size = c.integer("mamba_expand") * hidden,
          .state_size = c.integer("mamba_d_state"),
          .kernel = c.integer("mamba_d_conv"),
          .time_step_rank = c.maybe_integer("mamba_dt_rank").value_or((hidden + 15) / 16),
          .activation = c.string("hidden_act"),
          .bias = c.flag("mamba_proj_bias"),
          .conv_bias = c.flag("mamba_conv_bias")};
}

class JambaOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  bool takes_positions() const override { return false; }
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    if (attends(c, layer)) {
      const nn::HeadSizes heads = TextDecoderConfig(c).heads;
      return key_value(layer, heads.kv_heads, heads.head_dim);
    }
    const nn::MambaParameters p = mamba_of(c);
    return recurrent_states(layer, p.intermediate_size, p.kernel, "ssm", {p.intermediate_size, p.state_size});
  }
};

nn::Mixer mixer(const Scope& s, std::int64_t layer, const TextDecoderConfig& c, const PretrainedConfig& config) {
  if (attends(config, layer)) {
    nn::CausalAttentionParts attention = c.attention(s / "self_attn", layer);
    attention.rotary.reset();  // it knows no positions
    return nn::CausalAttention(std::move(attention));
  }
  const nn::MambaParameters p = mamba_of(config);
  const Scope mamba = s / "mamba";
  return nn::Mamba(mamba, layer, p,
                   {.time_step = c.norm(mamba / "dt_layernorm", p.time_step_rank),
                    .input = c.norm(mamba / "b_layernorm", p.state_size),
                    .output = c.norm(mamba / "c_layernorm", p.state_size)});
}

nn::FeedForward feed_forward(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                             const PretrainedConfig& config) {
  const nn::ExpertSizes sizes{c.hidden_size, c.intermediate_size, config.integer("num_experts")};
  const bool sparse = layer % config.integer("expert_layer_period") == config.integer("expert_layer_offset");
  const std::int64_t chosen = config.integer("num_experts_per_tok");
  if (!sparse || sizes.experts <= 1) return c.mlp(s);
  const nn::Linear router(s / "router", c.hidden_size, sizes.experts, false);
  return nn::SparseMixture(s.path(), {router, nn::largest_scores(nn::softmax_scores, chosen)},
                           {nn::expert_weights(s / "experts", sizes), c.hidden_act});
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.last_norm = "final_layernorm";
  c.no_keys = op::NoKeys::uniform;
  // Of training, of generation, and of the original's kernels; its window is only for one of them.
  config.harmless({"router_aux_loss_coef", "num_logits_to_keep", "use_mamba_kernels", "sliding_window"});
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return pre_ff_block(c, s, mixer(s, i, c, config), feed_forward(s / "feed_forward", i, c, config));
  });
}

}  // namespace

void register_jamba(TasksManager& tasks) {
  tasks.register_model<JambaOnnxConfig>({.model_type = "jamba",
                                         .tasks = nn::text_decoder_tasks(),
                                         .forward = forward,
                                         .key_names = tied("model.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
