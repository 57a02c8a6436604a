#include "onnxport/nn/gated_attention.h"

#include <utility>

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

/// results [B, S, heads * head_dim]. Heads stay apart for the product: engines know a wrong shape of the flat
/// results where heads share keys.
Value opened(Value results, Value open, std::int64_t heads) {
  const Shape apart = {results.dim(0), results.dim(1), heads, *results.dim(2).constant() / heads};
  const Value of_heads = op::reshape(results, apart);
  const bool each_head = *open.dim(2).constant() == heads;
  const Value factors = each_head ? op::unsqueeze(open, 3) : op::reshape(open, apart);
  return op::reshape(op::mul(of_heads, factors), results.shape());
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
