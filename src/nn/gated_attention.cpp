#include "onnxport/nn/gated_attention.h"

#include <utility>

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

/// results [B, S, heads * head_dim]
Value opened(Value results, Value open, std::int64_t heads) {
  if (*open.dim(2).constant() != heads) return op::mul(results, open);
  const std::int64_t head_dim = *results.dim(2).constant() / heads;
  const Value apart = op::reshape(results, {results.dim(0), results.dim(1), heads, head_dim});
  return op::reshape(op::mul(apart, op::unsqueeze(open, 3)), results.shape());
}

}  // namespace

Mixer gated_attention(CausalAttentionParts parts, AttentionGate gate) {
  return [parts = std::move(parts), gate = std::move(gate)](Value x, DecoderPass& pass) {
    CausalAttentionParts gated = parts;
    gated.output = [&](Value results) {
      const Value open = gate(x);
      return parts.output(opened(results, open, parts.sizes.heads));
    };
    return CausalAttention(std::move(gated))(x, pass);
  };
}

}  // namespace onnxport::nn
