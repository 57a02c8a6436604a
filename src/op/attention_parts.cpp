// Attention: the parts of its decomposition.
#include <algorithm>

#include "onnxport/ops.h"
#include "op/attention.h"
#include "op/infer.h"

namespace onnxport::op::detail {
namespace {

// [B, L, heads * D] -> [B, heads, L, D]; separate heads stay unchanged.
Value split_heads(Value x, std::int64_t heads) {
  if (x.rank() == 4) return x;
  const Dim head_dim = *x.dim(2).exact_div(heads);
  return permute(reshape(x, {x.dim(0), x.dim(1), heads, head_dim}), {0, 2, 1, 3});
}

// Whether these are all parts of one value, split along its last axis.
bool is_split_of_two(const Value& a, const Value& b) {
  const Node& node = *a.node();
  return b.node() == &node && node.op == Op::split && node.outputs.size() == 2 && a.index() == 0 &&
         b.index() == 1 && node.attrs.integer("axis") == a.rank() - 1;
}

// ---- masks ----

// bool [L, P + L]: the keys that the order allows a query to see.
Value order(Graph& graph, const Dim& length, const Dim& past, const AttentionMask& mask) {
  const Value key = arange(graph, past + length);
  const Value query = unsqueeze(arange(graph, length, past), 1);
  if (!mask.window) return le(key, query);
  const auto window = static_cast<double>(*mask.window);
  const Value near = gt(key, sub(query, window));
  const Value before = mask.causal ? le(key, query) : lt(key, add(query, window));
  return logical_and(before, near);
}

// `bias`, or 0, where a key is visible, and `hidden` elsewhere. This is not a sum, which could exceed the
// lowest value in half precision.
Value masked_bias(Value visible, Value bias, double hidden, DType dtype) {
  Graph& graph = visible.graph();
  if (!bias) bias = scalar(graph, 0.0, dtype);
  return where(visible, bias, scalar(graph, hidden, dtype));
}

// A value below every score that stays finite when a score is added.
double far_below(DType dtype) { return lowest(dtype) / 2; }

}  // namespace

Value visible_keys(const Node& node, const AttentionMask& mask) {
  Graph& graph = node.inputs[kQuery].graph();
  const Value past = node.inputs[kPastKey];
  Value seen = mask.visible;
  const auto restrict = [&](Value more) { seen = seen ? logical_and(seen, more) : more; };
  if (has_order(mask)) {
    const Value allowed = order(graph, node.inputs[kQuery].dim(1), past ? past.dim(2) : Dim(0), mask);
    restrict(mask.padding || seen ? allowed : reshape(allowed, {1, 1, allowed.dim(0), allowed.dim(1)}));
  }
  if (mask.padding) {
    const Value real = cast(mask.padding, DType::boolean);
    restrict(reshape(real, {real.dim(0), 1, 1, real.dim(1)}));
  }
  return seen;
}

Value sees_any(Value visible, DType dtype) { return minimum(sum(cast(visible, dtype), -1, true), 1.0); }

bool always_sees_a_key(const AttentionMask& mask) { return !mask.padding && !mask.visible; }

bool needs_replaced_scores(const Node& node) {
  const AttentionMask mask = attention_operands(node).mask;
  return size_of(node.outputs[0].dtype) < 4 && mask.no_keys == NoKeys::uniform && !always_sees_a_key(mask) &&
         !node.inputs[kSinks];
}

namespace {

// A whole mask as one tensor to add to the scores.
struct ScoreBias {
  Value bias;   // absent: nothing is masked
  Value alive;  // [..., L or 1, 1]: 0 for a query that sees no key; absent: no factor is needed
};

ScoreBias score_bias(const Node& node) {
  const AttentionMask mask = attention_operands(node).mask;
  const ModulePath at(node.inputs[kQuery], "attention_mask");
  const Value visible = visible_keys(node, mask);
  if (!visible) return {mask.bias, {}};
  const DType dtype = node.outputs[0].dtype;
  // The lowest value swallows every score, so a query without keys attends to all of them equally, or to the
  // sink alone.
  if (mask.no_keys == NoKeys::uniform || always_sees_a_key(mask) || node.inputs[kSinks])
    return {masked_bias(visible, mask.bias, lowest(dtype), dtype), {}};
  // The added value stays finite for any score; only the factor makes the result of such a query 0.
  const Value bias = masked_bias(visible, mask.bias, far_below(dtype), dtype);
  return {bias, sees_any(visible, dtype)};
}

// The results of an attention with other operands and the options of `node`.
AttentionResults attention_like(const Node& node, const AttentionOperands& operands) {
  return attention(operands, node.attrs.integer("heads"), node.attrs.integer("kv_heads"),
                   attention_options(node));
}

std::vector<Value> list(const AttentionResults& results) {
  std::vector<Value> values = {results.output, results.key, results.value};
  if (results.weights) values.push_back(results.weights);
  return values;
}

// cos and sin [B, L, R / 2] of the angles of a node, computed in float32, because half precision would lose
// positions.
std::pair<Value, Value> angles(const Node& node, const Rope& rope) {
  const ModulePath at(rope.position_ids, "rotary_emb");
  Value position = cast(rope.position_ids, DType::f32);
  if (position.rank() == 2) position = unsqueeze(position, 2);
  const Value angle = mul(position, rope.frequencies);
  Value cosine = cos(angle);
  Value sine = sin(angle);
  if (rope.scale != 1) {
    cosine = mul(cosine, rope.scale);
    sine = mul(sine, rope.scale);
  }
  const DType dtype = node.outputs[0].dtype;
  cosine = cast(cosine, dtype);
  return {cosine, cast(sine, dtype)};
}

// A mask of any rank as [B or 1, H or 1, L, P + S], because kernels broadcast only these axes.
Value whole(const Node& node, Value mask) {
  Shape shape(static_cast<std::size_t>(4 - mask.rank()), 1);
  shape.insert(shape.end(), mask.shape().begin(), mask.shape().end());
  if (shape != mask.shape()) mask = reshape(mask, shape);
  shape[2] = node.inputs[kQuery].dim(1);
  shape[3] = node.outputs[1].shape[2];
  return shape == mask.shape() ? mask : expand(mask, shape);
}

}  // namespace

std::vector<Value> with_visible_keys(const Node& node) {
  AttentionOperands in = attention_operands(node);
  {
    const ModulePath at(in.query, "attention_mask");
    in.mask = {.visible = whole(node, visible_keys(node, in.mask))};
  }
  return list(attention_like(node, in));
}

std::vector<Value> with_rotated_operands(const Node& node) {
  AttentionOperands in = attention_operands(node);
  const auto [cosine, sine] = angles(node, in.rope);
  in.query = rotary_embedding(in.query, cosine, sine, node.attrs.integer("heads"), in.rope.interleaved);
  in.key = rotary_embedding(in.key, cosine, sine, node.attrs.integer("kv_heads"), in.rope.interleaved);
  in.rope = {};
  return list(attention_like(node, in));
}

std::vector<Value> with_bias(const Node& node, bool keep_order) {
  AttentionOperands in = attention_operands(node);
  ScoreBias score = score_bias(node);
  {
    const ModulePath at(in.query, "attention_mask");
    score.bias = whole(node, score.bias);
    if (score.alive) score.alive = squeeze(score.alive, 1);  // [B or 1, L or 1, 1]
  }
  const AttentionMask order = in.mask;
  in.mask = {.bias = score.bias};
  if (keep_order) {
    in.mask.causal = order.causal;
    in.mask.window = order.window;
  }
  AttentionResults results = attention_like(node, in);
  if (score.alive) results.output = mul(results.output, score.alive);
  return list(results);
}

std::vector<Value> decompose_attention(const Node& node) {
  const std::int64_t heads = node.attrs.integer("heads");
  const std::int64_t kv_heads = node.attrs.integer("kv_heads");
  const AttentionOperands in = attention_operands(node);
  const double scale = node.attrs.real("scale");
  // Scales the query instead of the scores, which could overflow in half precision and have more elements.
  const auto scaled = [&](Value query) { return scale == 1.0 ? query : mul(query, scale); };
  Value query, key;
  if (in.rope) {  // queries and keys turn together: half the nodes
    const auto [cosine, sine] = angles(node, in.rope);
    const Value joined =
        is_split_of_two(in.query, in.key) ? in.query.node()->inputs[0] : concat({in.query, in.key}, 2);
    const Value both = split_heads(joined, heads + kv_heads);
    const Value turned = rotary_embedding(both, cosine, sine, heads + kv_heads, in.rope.interleaved);
    const std::vector<Value> parts = split(turned, 1, {heads, kv_heads});
    query = scaled(parts[0]);
    key = parts[1];
  } else {
    query = split_heads(scaled(in.query), heads);
    key = split_heads(in.key, kv_heads);
  }
  Value value = split_heads(in.value, kv_heads);
  if (in.past_key) {
    key = concat({in.past_key, key}, 2);
    value = concat({in.past_value, value}, 2);
  }
  const auto merged = [&](Value context) {
    return reshape(permute(context, {0, 2, 1, 3}), node.outputs[0].shape);
  };
  if (node.attrs.flag("weights")) {
    const Value weights = attention_weights(node, query, key);
    return {merged(attention_context(weights, value)), key, value, weights};
  }
  const AttentionOptions options{.scale = 1.0, .softcap = node.attrs.real("softcap")};
  Value context;
  if (needs_replaced_scores(node)) {
    Value visible;
    {
      const ModulePath at(query, "attention_mask");
      visible = visible_keys(node, in.mask);
    }
    context = uniform_attention(query, key, value, visible, in.mask.bias, options);
  } else {
    const ScoreBias score = score_bias(node);
    context = attention_with_sinks(query, key, value, score.bias, in.sinks, options);
    if (score.alive) context = mul(context, score.alive);
  }
  return {merged(context), key, value};
}

std::vector<Value> decompose_scaled_dot_product_attention(const Node& node) {
  const Value value = node.inputs[2];
  const Value mask = node.inputs[3];
  const Shape& q = node.inputs[0].shape();
  const Shape& k = node.inputs[1].shape();
  const DType dtype = node.inputs[0].dtype();
  // Query heads that share a key head become rows of one matrix, so keys are read once and never repeated.
  const bool grouped = q[1] != k[1];
  const Dim rows = *q[1].exact_div(k[1]) * q[2];
  const auto together = [&](Value x) { return grouped ? reshape(x, {q[0], k[1], rows, x.dim(3)}) : x; };
  const auto apart = [&](Value x) { return grouped ? reshape(x, {q[0], q[1], q[2], x.dim(3)}) : x; };

  const double scale = node.attrs.real("scale");
  const Value query = together(scale == 1.0 ? node.inputs[0] : mul(node.inputs[0], scale));
  const Value key_transposed = transpose(node.inputs[1], -2, -1);
  Value scores = matmul(query, key_transposed);
  if (const double cap = node.attrs.real("softcap"); cap != 0) scores = mul(tanh(div(scores, cap)), cap);
  if (const Value sinks = node.inputs[5]) {
    scores = apart(scores);
    if (mask) scores = add(scores, mask);
    const Value column = expand(reshape(sinks, {1, q[1], 1, 1}), {q[0], q[1], q[2], 1});
    const Value all = softmax(concat({scores, column}, 3), -1);
    return {apart(matmul(together(slice(all, 3, 0, k[2])), value))};
  }
  if (!mask) return {apart(matmul(softmax(scores, -1), value))};
  if (mask.dtype() != DType::boolean) {
    const Value masked = add(apart(scores), mask);
    return {apart(matmul(together(softmax(masked, -1)), value))};
  }
  if (node.attrs.get<std::string>("no_keys") == "uniform") {
    scores = apart(scores);
    if (node.inputs[4]) scores = add(scores, node.inputs[4]);
    const Value masked = where(mask, scores, scalar(mask.graph(), lowest(dtype), dtype));
    return {apart(matmul(together(softmax(masked, -1)), value))};
  }
  // The value added to masked scores stays finite for any score. A query that sees no key would then attend
  // to all keys equally, so the last factor makes its result 0. Both tensors are the same in all layers.
  Value bias, alive;
  {
    const ModulePath at(mask, "attention_mask");
    bias = masked_bias(mask, {}, far_below(dtype), dtype);
    alive = sees_any(mask, dtype);
  }
  const Value masked = add(apart(scores), bias);
  const Value context = apart(matmul(together(softmax(masked, -1)), value));
  return {mul(context, alive)};
}

}  // namespace onnxport::op::detail
