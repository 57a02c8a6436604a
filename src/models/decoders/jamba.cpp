// Jamba. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/jamba/modeling_jamba.py
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/mamba.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/experts.h"
#include "onnxport/nn/mamba.h"

namespace onnxport::models {
namespace {

bool attends(const PretrainedConfig& c, std::int64_t layer) {
  return layer % divisor(c, "attn_layer_period") == c.integer("attn_layer_offset");
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
          .conv_bias = c.flag("mamba_conv_bias"),
          .padding = mamba_padding(c)};
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

nn::Mixer mixer(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                const PretrainedConfig& config) {
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
  const bool sparse = layer % divisor(config, "expert_layer_period") == config.integer("expert_layer_offset");
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
  c.add_masks_in_version_4(config);
  // Of training, of generation, and of the original's kernels; its window is only for one of them.
  config.harmless({"router_aux_loss_coef", "num_logits_to_keep", "use_mamba_kernels", "sliding_window"});
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    return pre_ff_block(c, s, mixer(s, i, c, config), feed_forward(s / "feed_forward", i, c, config));
  });
}

// Of layers that repeat after a period: the period, and the first of them.
void add_period(ConfigTexts& texts, const std::string& kind, const std::vector<std::int64_t>& layers) {
  if (layers.empty()) return;
  const std::int64_t period = layers.size() > 1 ? layers[1] - layers[0] : layers[0] + 1;
  texts[kind + "_layer_offset"] = std::to_string(layers[0]);
  texts[kind + "_layer_period"] = std::to_string(std::max(period, layers[0] + 1));
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("jamba", "JambaForCausalLM");
  add_keys(layout, {{"expert_count", "num_experts"},
                    {"expert_used_count", "num_experts_per_tok"},
                    {"ssm.conv_kernel", "mamba_d_conv"},
                    {"ssm.state_size", "mamba_d_state"},
                    {"ssm.time_step_rank", "mamba_dt_rank"}});
  add_config(layout, [](const GgufInfo& file) {
    ConfigTexts texts;
    const std::vector<std::int64_t> heads = gguf_key_heads(file);
    std::vector<std::int64_t> attention, experts;
    for (std::size_t i = 0; i < heads.size(); ++i) {
      if (heads[i] > 0) attention.push_back(static_cast<std::int64_t>(i));
      if (heads[i] > 0) texts["num_key_value_heads"] = std::to_string(heads[i]);
      if (file.has_tensor(fmt::format("blk.{}.ffn_gate_inp.weight", i)))
        experts.push_back(static_cast<std::int64_t>(i));
    }
    add_period(texts, "attn", attention);
    add_period(texts, "expert", experts);
    const std::int64_t width = file.integer("jamba.embedding_length").value_or(0);
    const std::int64_t inner = file.integer("jamba.ssm.inner_size").value_or(0);
    if (width > 0) texts["mamba_expand"] = std::to_string(inner / width);
    return texts;
  });
  change_names(layout, [](const PretrainedConfig&) -> GgufTensors {
    const std::string layer = "model.layers.{}.", mamba = layer + "mamba";
    GgufTensors names = gguf_mamba(mamba);
    names.push_back({"output_norm", "model.final_layernorm"});
    names.push_back({"blk.{}.ffn_norm", layer + "pre_ff_layernorm"});
    for (const char* part : {"dt", "b", "c"})
      names.push_back(
          {fmt::format("blk.{{}}.ssm_{}_norm", part), fmt::format("{}.{}_layernorm", mamba, part)});
    for (const char* part : {"gate", "up", "down"})
      names.push_back(
          {fmt::format("blk.{{}}.ffn_{}", part), fmt::format("{}feed_forward.{}_proj", layer, part)});
    return names;
  });
  change_names(layout, [](const PretrainedConfig&) {
    GgufTensors names = gguf_experts("feed_forward", "gate_proj", "up_proj", "down_proj");
    names.push_back({"blk.{}.ffn_gate_inp", "model.layers.{}.feed_forward.router"});
    return names;
  });
  return layout;
}

}  // namespace

void register_jamba(TasksManager& tasks) {
  tasks.register_model<JambaOnnxConfig>({.model_type = "jamba",
                                         .tasks = nn::text_decoder_tasks(),
                                         .forward = forward,
                                         .key_names = tied("model.embed_tokens", "lm_head"),
                                         .gguf = gguf()});
}

}  // namespace onnxport::models
