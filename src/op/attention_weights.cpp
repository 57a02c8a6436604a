// Attention whose weights are a result.
#include "op/attention.h"
#include "op/infer.h"

namespace onnxport::op::detail {
namespace {

// Rows of query heads that share a key head, as rows of one matrix: x [B, H, L, N] -> [B, G, H / G * L, N].
Value together(Value x, const Dim& kv_heads) {
  if (x.dim(1) == kv_heads) return x;
  return reshape(x, {x.dim(0), kv_heads, *x.dim(1).exact_div(kv_heads) * x.dim(2), x.dim(3)});
}

// The reverse.
Value apart(Value x, const Dim& heads, const Dim& length) {
  return x.dim(1) == heads ? x : reshape(x, {x.dim(0), heads, length, x.dim(3)});
}

}  // namespace

Value attention_weights(const Node& node, Value query, Value key) {
  const AttentionOperands in = attention_operands(node);
  const DType dtype = query.dtype();
  const Value key_transposed = transpose(key, -2, -1);
  Value scores = apart(matmul(together(query, key.dim(1)), key_transposed), query.dim(1), query.dim(2));
  if (const double cap = node.attrs.real("softcap"); cap != 0) scores = mul(tanh(div(scores, cap)), cap);
  if (in.mask.bias) scores = add(scores, in.mask.bias);
  Value visible, alive;
  {
    const ModulePath at(query, "attention_mask");
    visible = visible_keys(node, in.mask);
    const bool may_see_none = visible && in.mask.no_keys == NoKeys::zero && !always_sees_a_key(in.mask);
    if (may_see_none) alive = sees_any(visible, dtype);
  }
  if (visible) scores = where(visible, scores, scalar(query.graph(), lowest(dtype), dtype));
  if (in.sinks) {
    const Dim& heads = query.dim(1);
    const Value column = expand(reshape(in.sinks, {1, heads, 1, 1}), {query.dim(0), heads, query.dim(2), 1});
    return slice(softmax(concat({scores, column}, 3), -1), 3, 0, key.dim(2));
  }
  const Value weights = softmax(scores, -1);
  return alive ? mul(weights, alive) : weights;
}

Value attention_context(Value weights, Value value) {
  const Value products = matmul(together(weights, value.dim(1)), value);
  return apart(products, weights.dim(1), weights.dim(2));
}

}  // namespace onnxport::op::detail
