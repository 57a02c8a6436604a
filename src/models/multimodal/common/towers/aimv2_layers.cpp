#include "models/multimodal/common/towers/aimv2.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotated_encoder.h"

namespace onnxport::models {
namespace {

// All projections have a bias, or none.
Value attend(const Scope& s, const Aimv2Config& c, Value x, const op::AttentionMask& mask) {
  const std::int64_t width = c.hidden_size, heads = c.num_attention_heads;
  const ModulePath at(x, s.path());
  const Value query = nn::Linear(s / "q_proj", width, width, c.qkv_bias)(x);
  const Value key = nn::Linear(s / "k_proj", width, width, c.qkv_bias)(x);
  const Value value = nn::Linear(s / "v_proj", width, width, c.qkv_bias)(x);
  const Value context =
      op::attention({.query = query, .key = key, .value = value, .mask = mask}, heads, heads).output;
  return nn::Linear(s / "out_proj", width, width, c.qkv_bias)(context);
}

}  // namespace

Aimv2Config::Aimv2Config(const PretrainedConfig& c)
    : hidden_size(c.integer("hidden_size")),
      num_hidden_layers(c.integer("num_hidden_layers")),
      num_attention_heads(c.integer("num_attention_heads")),
      intermediate_size(c.integer("intermediate_size")),
      hidden_act(c.string("hidden_act")),
      rms_norm_eps(c.real("rms_norm_eps")),
      qkv_bias(c.flag("qkv_bias")),
      mlp_bias(c.flag("mlp_bias")) {
  check_heads(c, hidden_size, num_attention_heads);
}

Value run_aimv2_layers(const Scope& s, const Aimv2Config& c, Value x, const op::AttentionMask& mask) {
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const Scope layer = s / "encoder" / "layers" / i;
    const ModulePath at(x, layer.path());
    const nn::GatedMlp mlp(layer / "ffn", {.hidden_size = c.hidden_size,
                                           .intermediate_size = c.intermediate_size,
                                           .activation = c.hidden_act,
                                           .bias = c.mlp_bias});
    const auto attention = [&](Value y) { return attend(layer / "attention", c, y, mask); };
    x = nn::pre_norm_residual(x, c.norm(layer / "rms_norm1"), attention);
    x = nn::pre_norm_residual(x, c.norm(layer / "rms_norm2"), mlp);
  }
  return c.norm(s / "rms_norm")(x);
}

}  // namespace onnxport::models
