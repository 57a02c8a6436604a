#include "models/decoders/common/qwen_hybrid.h"

#include <utility>

#include "models/common/definition.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/gated_attention.h"

namespace onnxport::models {
namespace {

bool attends(const PretrainedConfig& c, std::int64_t layer) {
  if (!c.has("layer_types")) return (layer + 1) % divisor(c, "full_attention_interval") == 0;
  c.harmless({"full_attention_interval"});
  const auto types = kinds_of_layers(c, "layer_types", {"full_attention", "linear_attention"});
  return types.at(static_cast<std::size_t>(layer)) == "full_attention";
}

// States do not depend on the width of feed-forwards, which mixtures of experts do not have.
PretrainedConfig text_config(const PretrainedConfig& c) {
  const PretrainedConfig text = c.has("text_config") ? c.sub("text_config", c.model_type() + "_text") : c;
  return text.settled("intermediate_size", "1");
}

// Each head's queries lie beside a gate for its results.
nn::Mixer attention(const Scope& s, std::int64_t layer, const TextDecoderConfig& c) {
  const nn::HeadSizes& z = c.heads;
  const std::int64_t kv_width = z.kv_heads * z.head_dim;
  const nn::Linear both(s / "q_proj", z.hidden_size, 2 * z.heads * z.head_dim, c.attention_bias);
  const nn::Linear key(s / "k_proj", z.hidden_size, kv_width, c.attention_bias);
  const nn::Linear value(s / "v_proj", z.hidden_size, kv_width, c.attention_bias);
  nn::CausalAttentionParts parts = c.attention(s, layer, {}, {});
  c.norm_heads(parts, s / "q_norm", s / "k_norm");
  return [=](Value x, nn::DecoderPass& pass) {
    const ModulePath at(x, parts.path);
    const Value heads = op::reshape(both(x), {x.dim(0), x.dim(1), z.heads, 2 * z.head_dim});
    const std::vector<Value> halves = op::split(heads, 3, {z.head_dim, z.head_dim});
    const Value query = op::flatten(halves[0], 2, 3);
    const Value gate = op::flatten(halves[1], 2, 3);
    Value open = op::sigmoid(gate);
    nn::CausalAttentionParts made = parts;
    made.qkv = [&](Value y, const nn::DecoderPass&) -> nn::QueryKeyValue {
      const Value keys = key(y);
      return {query, keys, value(y)};
    };
    return nn::gated_attention(std::move(made), [open](Value) { return open; })(x, pass);
  };
}

}  // namespace

NormalizedConfig QwenHybridOnnxConfig::normalized_config() const {
  return NormalizedTextConfig(text_config(config().unaccounted()));
}

std::vector<StateSpec> QwenHybridOnnxConfig::layer_states(std::int64_t layer) const {
  const PretrainedConfig c = text_config(config().unaccounted());
  const nn::DeltaSizes z = delta_sizes(c);
  if (!attends(c, layer)) return delta_states(layer, z);
  const nn::HeadSizes heads = TextDecoderConfig(c).heads;
  return key_value(layer, heads.kv_heads, heads.head_dim);
}

nn::GatedDeltaParts qwen_delta_parts(const Scope& s, std::int64_t layer, const TextDecoderConfig& c,
                                     const nn::DeltaSizes& sizes,
                                     std::function<nn::DeltaInputs(Value)> project) {
  return {.path = s.path(),
          .layer = layer,
          .sizes = sizes,
          .project = std::move(project),
          .conv1d = nn::CausalConv(s / "conv1d", sizes.convolved(), sizes.kernel, false),
          .norm = nn::GatedRmsNorm(s / "norm", sizes.value_dim,
                                   {.eps = c.norm_parameters.eps, .gate_first = false}),
          .out_proj = nn::Linear(s / "out_proj", sizes.values(), sizes.hidden_size, false),
          .activation = c.hidden_act};
}

nn::MakeBlock qwen_hybrid_blocks(const PretrainedConfig& config, const TextDecoderConfig& c,
                                 const MakeDeltaNet& delta_net, const MakeFeedForward& mlp) {
  const nn::DeltaSizes sizes = delta_sizes(config);
  return [=](const Scope& s, std::int64_t i) {
    const auto mixer = [&] {
      return attends(config, i) ? attention(s / "self_attn", i, c) : delta_net(s / "linear_attn", i, sizes);
    };
    return nn::PreNormBlock{.before_attention = c.norm(s / "input_layernorm"),
                            .attention = mixer(),
                            .before_mlp = c.norm(s / "post_attention_layernorm"),
                            .mlp = mlp(s / "mlp", i)};
  };
}

}  // namespace onnxport::models
