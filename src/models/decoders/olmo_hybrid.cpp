// OLMo Hybrid. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/olmo_hybrid/modeling_olmo_hybrid.py
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/olmo.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/delta_rule.h"

namespace onnxport::models {
namespace {

bool attends(const PretrainedConfig& c, std::int64_t layer) {
  if (c.has("layer_types")) {
    const auto types = kinds_of_layers(c, "layer_types", {"full_attention", "linear_attention"});
    return types.at(static_cast<std::size_t>(layer)) == "full_attention";
  }
  const std::int64_t layers = c.integer("num_hidden_layers");
  return layer % 4 == 3 || (layers < 4 && layer == layers - 1);
}

bool rotates(const PretrainedConfig& c) {
  return !c.has("rope_parameters") || c.sub("rope_parameters").has("rope_theta");
}

// The sizes of a delta net, which default to those of the attention.
nn::DeltaSizes sizes_of(PretrainedConfig c) {
  const std::string heads = std::to_string(c.integer("num_attention_heads"));
  for (const char* key : {"linear_num_key_heads", "linear_num_value_heads"})
    if (!c.has(key)) c = c.settled(key, heads);
  if (!c.has("linear_key_head_dim")) {
    const double width = 0.75 * static_cast<double>(c.integer("hidden_size"));
    const auto size =
        static_cast<std::int64_t>(width / static_cast<double>(divisor(c, "linear_num_key_heads")));
    c = c.settled("linear_key_head_dim", std::to_string(size));
  }
  if (!c.has("linear_value_head_dim"))
    c = c.settled("linear_value_head_dim", std::to_string(2 * c.integer("linear_key_head_dim")));
  return delta_sizes(c);
}

class OlmoHybridOnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  bool takes_positions() const override { return rotates(config().unaccounted()); }
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    if (!attends(c, layer)) return delta_states(layer, sizes_of(c));
    const nn::HeadSizes heads = TextDecoderConfig(c).heads;
    return key_value(layer, heads.kv_heads, heads.head_dim);
  }
};

nn::Mixer delta_net(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                    const PretrainedConfig& config) {
  const nn::DeltaSizes z = sizes_of(config);
  const auto linear = [&](const char* name, std::int64_t width) {
    return nn::Linear(s / name, z.hidden_size, width, false);
  };
  const nn::Linear query = linear("q_proj", z.keys()), key = linear("k_proj", z.keys()),
                   value = linear("v_proj", z.values()), gate = linear("g_proj", z.values()),
                   beta = linear("b_proj", z.value_heads), step = linear("a_proj", z.value_heads);
  const Weight shift = s.weight("dt_bias", {z.value_heads}), decay = nn::state_decay(s, {z.value_heads});
  const double most = config.flag("linear_allow_neg_eigval") ? 2 : 1;
  const auto project = [=](Value x) -> nn::DeltaInputs {
    const Value q = query(x), k = key(x), v = value(x), opened = gate(x);
    const Value rate = op::mul(nn::delta_beta(beta(x)), most);
    return {.mixed = op::concat({q, k, v}, -1),
            .gate = opened,
            .beta = rate,
            .decay = nn::delta_decay(step(x), shift, decay)};
  };
  return nn::GatedDeltaNet(
      {.path = s.path(),
       .layer = layer,
       .sizes = z,
       .project = project,
       .conv1d = qkv_conv(s, z),
       .norm = nn::GatedRmsNorm(s / "o_norm", z.value_dim, {.eps = 1e-5, .gate_first = false}),
       .out_proj = nn::Linear(s / "o_proj", z.values(), z.hidden_size, false),
       .activation = c.hidden_act});
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextDecoderConfig c(config);
  // How the original initializes weights.
  config.harmless(
      {"linear_a_log_min", "linear_a_log_max", "linear_dt_min", "linear_dt_max", "linear_dt_init_floor"});
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) -> nn::Block {
    if (attends(config, i)) {
      nn::CausalAttentionParts attention = olmo2_attention(c, s / "self_attn", i);
      if (!rotates(config)) attention.rotary.reset();
      return c.post_normed_block(s, std::move(attention), c.mlp(s / "mlp"));
    }
    return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                            .attention = delta_net(s / "linear_attn", i, c, config),
                            .before_mlp = c.norm(s / "post_attention_layernorm"),
                            .mlp = c.mlp(s / "mlp")};
  });
}

}  // namespace

void register_olmo_hybrid(TasksManager& tasks) {
  KeyNames names = tied("model.embed_tokens", "lm_head");
  names.newer = {{"input_layernorm", "attention_layer_norm"},
                 {"post_attention_layernorm", "feedforward_layer_norm"}};
  tasks.register_model<OlmoHybridOnnxConfig>({.model_type = "olmo_hybrid",
                                              .tasks = nn::text_decoder_tasks({}),
                                              .forward = forward,
                                              .ignorable_keys = {"mtp.*"},
                                              .key_names = names});
}

}  // namespace onnxport::models
