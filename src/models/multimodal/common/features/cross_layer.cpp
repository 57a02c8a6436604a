#include "models/multimodal/common/features/cross_layer.h"

#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {

Value attend_to(const Scope& s, const nn::SelfAttentionParameters& p, Value x, const OtherStates& other) {
  const ModulePath at(x, s.path());
  const std::int64_t width = p.hidden_size, from = *other.states.dim(2).constant();
  const Value query = nn::Linear(s / p.query, width, width)(x);
  const Value key = nn::Linear(s / p.key, from, width)(other.states);
  const Value value = nn::Linear(s / p.value, from, width)(other.states);
  const op::AttentionOperands operands = {.query = query, .key = key, .value = value, .mask = other.mask};
  const Value seen = op::attention(operands, p.heads, p.heads).output;
  return nn::Linear(s / p.output, width, width)(seen);
}

Value cross_layer(const Scope& s, const nn::EncoderLayerParameters& p, Value x, const op::AttentionMask& mask,
                  const OtherStates& other) {
  if (p.attention.relative_positions) {
    throw ExportError(ErrorCode::unsupported,
                      "relative positions in a layer with cross attention are not supported, expected "
                      "position_embedding_type absolute");
  }
  const ModulePath at(x, s.path());
  const std::int64_t width = p.attention.hidden_size;
  const auto norm = [&](const Scope& of) { return nn::LayerNorm(of, width, p.eps); };
  const Scope cross = s / "crossattention";
  const Value own = nn::SelfAttention(s / p.attention_key, p.attention)(x, mask);
  x = norm(s / p.attention_norm)(op::add(own, x));
  const Value seen = attend_to(cross, p.attention, x, other);
  x = norm(cross / "output.LayerNorm")(op::add(seen, x));
  const nn::Mlp mlp(s.path(), nn::Linear(s / p.up, width, p.intermediate_size),
                    nn::Linear(s / p.down, p.intermediate_size, width), p.activation);
  return norm(s / p.output_norm)(op::add(mlp(x), x));
}

}  // namespace onnxport::models
