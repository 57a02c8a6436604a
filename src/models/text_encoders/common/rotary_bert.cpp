#include "models/text_encoders/common/rotary_bert.h"

#include <utility>

#include "models/common/definition.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

constexpr RotaryBertKeys kLibrary = {.embeddings_norm = "embeddings.LayerNorm",
                                     .layers = "layers",
                                     .attention = "self_attn",
                                     .qkv = "",
                                     .output = "o_proj",
                                     .norms = {"post_attention_layernorm", "post_mlp_layernorm"}};

nn::TextEmbeddingsParameters bare(const RotaryBertConfig& c) {
  nn::TextEmbeddingsParameters p = c.embeddings();
  p.norm = false;
  p.add_positions = false;
  return p;
}

RotaryAttention attention(const Scope& s, const RotaryBertConfig& c, const RotaryBertKeys& keys, bool bias) {
  const std::int64_t width = c.heads.heads * c.heads.head_dim;
  nn::Linear output(s / keys.output, width, c.hidden_size, bias);
  const auto own = [&](const char* key) { return nn::Linear(s / key, c.hidden_size, width, bias); };
  if (keys.qkv[0] == '\0')
    return {s.path(), c.heads, own("q_proj"), own("k_proj"), own("v_proj"), std::move(output)};
  const Scope packed = s / keys.qkv;
  const nn::Linear all(packed, c.hidden_size, 3 * width, bias);
  const auto part = [&](std::int64_t i) {
    const std::int64_t begin = i * width, end = begin + width;
    return nn::Linear(packed.path(), all.weight().slice(0, begin, end),
                      bias ? all.bias().slice(0, begin, end) : Weight());
  };
  return {s.path(), c.heads, part(0), part(1), part(2), std::move(output)};
}

}  // namespace

RotaryBertConfig::RotaryBertConfig(const PretrainedConfig& c) : TextEncoderConfig(c) {
  const std::int64_t head_dim = c.maybe_integer("head_dim").value_or(hidden_size / num_attention_heads);
  if (head_dim < 2 || head_dim % 2 != 0)
    refuse(c, fmt::format("head_dim is {}, expected a positive even number", head_dim));
  heads = {hidden_size, num_attention_heads, num_attention_heads, head_dim};
  rope = rope_parameters(c, head_dim);
  if (rope.dim != head_dim)
    refuse(c, fmt::format("partial_rotary_factor lets {} elements of a head turn, expected all {}", rope.dim,
                          head_dim));
}

RotaryBert::RotaryBert(const Scope& s, const RotaryBertConfig& c, const RotaryBertKeys& published, bool bias,
                       const MakeMlp& make_mlp)
    : rope_(c.rope),
      embeddings_(s / "embeddings", bare(c)),
      embeddings_norm_(s / ((s / "layers").exists() ? kLibrary : published).embeddings_norm, c.hidden_size,
                       c.layer_norm_eps) {
  const bool native = (s / "layers").exists();
  const RotaryBertKeys& keys = native ? kLibrary : published;
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const Scope layer = s / keys.layers / i;
    layers_.emplace_back(layer, c, attention(layer / keys.attention, c, keys, bias),
                         make_mlp(layer / "mlp", !native), keys.norms);
  }
}

Value RotaryBert::operator()(const Inputs& in) const {
  const Value ids = in["input_ids"];
  Value x = embeddings_norm_(embeddings_(ids, in.get("token_type_ids")));
  const RotarySight sight = rotary_sight(ids, in.get("attention_mask"), rope_);
  for (const auto& layer : layers_) x = layer(x, sight);
  return x;
}

}  // namespace onnxport::models
