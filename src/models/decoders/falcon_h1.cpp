// Falcon-H1. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/falcon_h1/modeling_falcon_h1.py
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "models/common/definition.h"
#include "models/decoders/common/gguf_llama.h"
#include "models/decoders/common/hybrid.h"
#include "models/decoders/common/mamba.h"
#include "onnxport/error.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mamba.h"

namespace onnxport::models {
namespace {

class FalconH1OnnxConfig : public HybridOnnxConfig {
 public:
  using HybridOnnxConfig::HybridOnnxConfig;

 protected:
  std::vector<StateSpec> layer_states(std::int64_t layer) const override {
    const PretrainedConfig c = config().unaccounted();
    const nn::HeadSizes heads = TextDecoderConfig(c).heads;
    std::vector<StateSpec> states = mamba2_states(layer, mamba2_sizes(c));
    for (StateSpec& state : key_value(layer, heads.kv_heads, heads.head_dim))
      states.push_back(std::move(state));
    return states;
  }
};

std::vector<double> multipliers(const PretrainedConfig& c, const char* key, std::size_t count) {
  std::vector<double> all = c.has(key) ? c.reals(key) : std::vector<double>(count, 1);
  if (all.size() == count) return all;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: {} has {} numbers, expected {}", c.origin(), key, all.size(), count));
}

double multiplier(const PretrainedConfig& c, const char* key) { return c.maybe_real(key).value_or(1); }

/// Of the rows of a mixer's in_proj.
std::vector<double> projected_multipliers(const PretrainedConfig& config, const nn::Mamba2Sizes& z) {
  const std::vector<double> factors = multipliers(config, "ssm_multipliers", 5);
  const std::vector<std::int64_t> widths = {z.intermediate(), z.intermediate(), z.groups * z.state_size,
                                            z.groups * z.state_size, z.heads};
  std::vector<double> each;
  for (std::size_t i = 0; i < 5; ++i)
    each.insert(each.end(), static_cast<std::size_t>(widths[i]), factors[i]);
  return each;
}

nn::Mixer mamba(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                const PretrainedConfig& config) {
  const nn::Mamba2Sizes z = mamba2_sizes(config);
  const double in = multiplier(config, "ssm_in_multiplier"), out = multiplier(config, "ssm_out_multiplier");
  const Weight mup = Weight::from_doubles(DType::f32, {z.projected()}, projected_multipliers(config, z));
  const nn::Linear in_proj(s / "in_proj", z.hidden_size, z.projected(), config.flag("mamba_proj_bias"));

  const nn::GatedNormParameters norm{
      .eps = c.norm_parameters.eps, .groups = z.groups, .gate_first = !config.flag("mamba_norm_before_gate")};
  std::function<Value(Value, Value)> gated = [](Value y, Value gate) { return op::mul(y, op::silu(gate)); };
  if (config.flag("mamba_rms_norm")) gated = nn::GatedRmsNorm(s / "norm", z.intermediate(), norm);
  const nn::Mamba2 mixer(
      {.path = s.path(),
       .layer = layer,
       .sizes = z,
       .in_proj =
           [=](Value x) {
             const Value projected = in_proj(op::mul(x, in));
             return op::mul(projected, x.graph().weight(mup));
           },
       .conv1d = nn::CausalConv(s / "conv1d", z.convolved(), z.kernel, config.flag("mamba_conv_bias")),
       .decay = nn::state_decay(s, {z.heads}),
       .d = s.weight("D", {z.heads}),
       .dt_bias = s.weight("dt_bias", {z.heads}),
       .gated = std::move(gated),
       .out_proj =
           nn::Linear(s / "out_proj", z.intermediate(), z.hidden_size, config.flag("projectors_bias")),
       .activation = c.hidden_act});
  return nn::scaled(mixer, out);
}

nn::Mixer attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                    const PretrainedConfig& config) {
  nn::CausalAttentionParts parts = c.attention(s, layer);
  if (config.transformers_major() < 5) parts.mask = same_kind_mask;
  const double keys = multiplier(config, "key_multiplier");
  if (keys != 1) parts.key_norm = [keys](Value key) { return op::mul(key, keys); };
  const nn::CausalAttention attend(std::move(parts));
  const double in = multiplier(config, "attention_in_multiplier");
  const nn::Mixer scaled_in = [=](Value x, nn::DecoderPass& pass) { return attend(op::mul(x, in), pass); };
  return nn::scaled(scaled_in, multiplier(config, "attention_out_multiplier"));
}

nn::FeedForward feed_forward(const Scope& s, const TextDecoderConfig& c, const PretrainedConfig& config) {
  const bool bias = config.flag("mlp_bias", false);
  const std::vector<double> factors = multipliers(config, "mlp_multipliers", 2);
  const nn::Linear gate_proj(s / "gate_proj", c.hidden_size, c.intermediate_size, bias);
  const nn::Linear up_proj(s / "up_proj", c.hidden_size, c.intermediate_size, bias);
  const nn::Linear down_proj(s / "down_proj", c.intermediate_size, c.hidden_size, bias);
  const nn::Activation activation(c.hidden_act);
  return [=, path = s.path()](Value x) {
    const ModulePath at(x, path);
    const Value gate = activation(op::mul(gate_proj(x), factors[0]));
    const Value y = op::mul(up_proj(x), gate);
    return op::mul(down_proj(y), factors[1]);
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  TextDecoderConfig c(config);
  c.last_norm = "final_layernorm";
  c.embedding_scale = config.real("embedding_multiplier");
  c.logit_scale = config.real("lm_head_multiplier");
  config.harmless({"num_logits_to_keep"});  // of generation
  return forward_text_decoder(inputs, model, component, c, [&](const Scope& s, std::int64_t i) {
    const nn::Mixer mixer = mamba(s / "mamba", i, c, config);
    const nn::Mixer attend = attention(s / "self_attn", i, c, config);
    const nn::Mixer both = [=](Value x, nn::DecoderPass& pass) {
      const Value mixed = mixer(x, pass);
      return op::add(mixed, attend(x, pass));
    };
    return pre_ff_block(c, s, both, feed_forward(s / "feed_forward", c, config));
  });
}

/// Undoes that the converter multiplies each row of a weight, or all of them.
GgufRestore divided(const std::vector<double>& factors) {
  if (std::all_of(factors.begin(), factors.end(), [](double factor) { return factor == 1; })) return {};
  return [factors](const Weight& stored) {
    const auto rows = static_cast<std::int64_t>(factors.size());
    const std::vector<std::int64_t> shape =
        rows == 1 ? std::vector<std::int64_t>{1} : std::vector{rows, std::int64_t{1}};
    return stored.div(Weight::from_doubles(stored.dtype(), shape, factors));
  };
}

/// The converter puts the multipliers into the weights.
GgufTensors scaled_names(const PretrainedConfig& c) {
  const std::vector<double> mlp = multipliers(c, "mlp_multipliers", 2);
  const double in = multiplier(c, "attention_in_multiplier"), keys = multiplier(c, "key_multiplier");
  std::vector<double> projected = projected_multipliers(c, mamba2_sizes(c));
  for (double& factor : projected) factor *= multiplier(c, "ssm_in_multiplier");
  GgufTensors names = {{"token_embd", "model.embed_tokens", divided({c.real("embedding_multiplier")})},
                       {"output", "lm_head", divided({c.real("lm_head_multiplier")})}};
  const std::string layer = "model.layers.{}.";
  const auto add = [&](const char* stored, const char* key, const std::vector<double>& factors) {
    names.push_back({fmt::format("blk.{{}}.{}", stored), layer + key, divided(factors)});
  };
  add("attn_q", "self_attn.q_proj", {in});
  add("attn_k", "self_attn.k_proj", {in * keys});
  add("attn_v", "self_attn.v_proj", {in});
  add("attn_output", "self_attn.o_proj", {multiplier(c, "attention_out_multiplier")});
  add("ssm_in.weight", "mamba.in_proj.weight", projected);
  add("ssm_out", "mamba.out_proj", {multiplier(c, "ssm_out_multiplier")});
  add("ffn_gate", "feed_forward.gate_proj", {mlp[0]});
  add("ffn_down", "feed_forward.down_proj", {mlp[1]});
  return names;
}

GgufLayout gguf() {
  GgufLayout layout = llama_like_gguf("falcon-h1", "FalconH1ForCausalLM");
  add_keys(layout, {{"attention.key_length", "head_dim"}, {"ssm.inner_size", "mamba_d_ssm"}});
  add_gguf_mamba2(layout);
  // llama.cpp gates first, as all published models do.
  add_config(layout, [](const GgufInfo&) { return ConfigTexts{{"mamba_norm_before_gate", "false"}}; });
  for (const auto& [key, tensor] : {std::pair("mamba_rms_norm", "ssm_norm.weight"),
                                    {"mamba_conv_bias", "ssm_conv1d.bias"},
                                    {"projectors_bias", "ssm_out.bias"},
                                    {"attention_bias", "attn_q.bias"},
                                    {"mlp_bias", "ffn_gate.bias"}})
    add_config(layout, whether_stored(key, fmt::format("blk.0.{}", tensor)));
  add_names(layout, {{"output_norm", "model.final_layernorm"}});
  // Converted files have the norm without an ending.
  add_layer_names(layout, {{"ffn_norm", "pre_ff_layernorm.weight"},
                           {"ffn_norm.weight", "pre_ff_layernorm.weight"},
                           {"ffn_up", "feed_forward.up_proj"}});
  change_names(layout, scaled_names);
  return layout;
}

}  // namespace

void register_falcon_h1(TasksManager& tasks) {
  tasks.register_model<FalconH1OnnxConfig>({.model_type = "falcon_h1",
                                            .tasks = nn::text_decoder_tasks({}),
                                            .forward = forward,
                                            .key_names = tied("model.embed_tokens", "lm_head"),
                                            .gguf = gguf()});
}

}  // namespace onnxport::models
