// Attention, with and without a cache.
#include <cmath>

#include "onnxport/op.h"
#include "op/infer.h"

namespace onnxport::op {

using detail::make;

namespace {

double scale_of(const AttentionOptions& options, const Dim& head_dim, std::string_view op) {
  if (options.scale) return *options.scale;
  if (head_dim.is_constant()) return 1.0 / std::sqrt(static_cast<double>(*head_dim.constant()));
  throw ExportError(ErrorCode::shape, fmt::format("{}: the head size must be a number", op));
}

}  // namespace

Value scaled_dot_product_attention(Value query, Value key, Value value, Value mask,
                                   const AttentionOptions& options) {
  const double scale = scale_of(options, query.dim(-1), "scaled_dot_product_attention");
  return make(query.graph(), Op::scaled_dot_product_attention, {query, key, value, mask},
              {{"scale", scale}, {"softcap", options.softcap}})
      .out();
}

AttentionResults attention(const AttentionOperands& in, std::int64_t heads, std::int64_t kv_heads,
                           const AttentionOptions& options) {
  const std::optional<Dim> head_dim = heads > 0 ? in.query.dim(-1).exact_div(heads) : std::nullopt;
  if (!head_dim) {
    throw ExportError(ErrorCode::shape,
                      fmt::format("attention: {} is not {} heads", to_string(in.query.type()), heads));
  }
  Node& node = make(in.query.graph(), Op::attention,
                    {in.query, in.key, in.value, in.past_key, in.past_value, in.mask, in.cos, in.sin},
                    {{"heads", heads},
                     {"kv_heads", kv_heads},
                     {"scale", scale_of(options, *head_dim, "attention")},
                     {"softcap", options.softcap}});
  return {node.out(0), node.out(1), node.out(2)};
}

namespace detail {

namespace {

// Checks a mask against the scores.
void check_mask(const Node& node, const Value& mask, DType dtype, const Shape& scores) {
  if (!mask) return;
  if (mask.dtype() != DType::boolean && mask.dtype() != dtype)
    reject(node, "mask {}, expected bool or {}", to_string(mask.type()), to_string(dtype));
  if (broadcast(mask.shape(), scores) != scores)
    reject(node, "mask {} does not broadcast to the scores {}", to_string(mask.shape()), to_string(scores));
}

// [B, L, heads * D] -> [B, heads, L, D]
Value split_heads(Value x, std::int64_t heads) {
  const Dim head_dim = *x.dim(2).exact_div(heads);
  return permute(reshape(x, {x.dim(0), x.dim(1), heads, head_dim}), {0, 2, 1, 3});
}

// Are these all parts of one value, cut along its last axis?
bool is_split_of_two(const Value& a, const Value& b) {
  const Node& node = *a.node();
  return b.node() == &node && node.op == Op::split && node.outputs.size() == 2 && a.index() == 0 &&
         b.index() == 1 && node.attrs.integer("axis") == a.rank() - 1;
}

// Rotates the heads of x [B, heads, L, D]. The elements behind the rotated ones meet a cosine of 1 and a sine
// of 0: cheaper than to cut them off and to put them back in every layer.
Value rotate(Value x, Value cos, Value sin) {
  const std::int64_t half = *cos.dim(2).constant();
  const std::int64_t rest = *x.dim(3).constant() - 2 * half;
  std::vector<Value> cosines = {cos, cos};
  std::vector<Value> sines = {neg(sin), sin};
  std::vector<std::int64_t> sizes = {half, half};
  if (rest > 0) {
    const Shape shape = {cos.dim(0), cos.dim(1), rest};
    const std::vector<double> ones(static_cast<std::size_t>(rest), 1.0);
    const std::vector<double> zeros(static_cast<std::size_t>(rest), 0.0);
    Graph& graph = x.graph();
    cosines.push_back(expand(graph.weight_as_is(Weight::from_doubles(x.dtype(), {1, 1, rest}, ones)), shape));
    sines.push_back(expand(graph.weight_as_is(Weight::from_doubles(x.dtype(), {1, 1, rest}, zeros)), shape));
    sizes.push_back(rest);
  }
  const Value all_cosines = unsqueeze(concat(cosines, 2), 1);
  const Value all_sines = unsqueeze(concat(sines, 2), 1);
  std::vector<Value> parts = split(x, 3, sizes);
  std::swap(parts[0], parts[1]);
  const Value swapped = concat(parts, 3);
  const Value straight = mul(x, all_cosines);
  const Value crossed = mul(swapped, all_sines);
  return add(straight, crossed);
}

}  // namespace

Types infer_scaled_dot_product_attention(const Node& node) {
  if (node.inputs.size() != 4) reject(node, "expected query, key, value and a mask that may be absent");
  const TensorType& q = operand(node, 0);
  const TensorType& k = operand(node, 1);
  const TensorType& v = operand(node, 2);
  require_float(node, q);
  require_same_dtype(node, q, k);
  require_same_dtype(node, q, v);
  const bool ranks = q.shape.size() == 4 && k.shape.size() == 4 && v.shape.size() == 4;
  if (!ranks || q.shape[0] != k.shape[0] || q.shape[0] != v.shape[0] || k.shape[1] != v.shape[1] ||
      q.shape[3] != k.shape[3] || k.shape[2] != v.shape[2]) {
    reject(node, "query {}, key {} and value {} do not fit", to_string(q.shape), to_string(k.shape),
           to_string(v.shape));
  }
  if (!q.shape[1].exact_div(k.shape[1]))
    reject(node, "{} query heads are no multiple of {} key heads", q.shape[1].str(), k.shape[1].str());
  check_mask(node, node.inputs[3], q.dtype, {q.shape[0], q.shape[1], q.shape[2], k.shape[2]});
  return {{q.dtype, {q.shape[0], q.shape[1], q.shape[2], v.shape[3]}}};
}

namespace {

// Scales queries in front of what splits them into heads. ONNX Runtime draws a factor that stands right in
// front of a MatMul into it, and then multiplies a single row, as in decoding, half as fast.
Value scaled(Value query, double scale) {
  const Node& split = *query.node();
  if (split.op != Op::permute) return mul(query, scale);
  const Value heads = split.inputs[0];
  const Node& cut = *heads.node();
  const Value whole = cut.op == Op::reshape ? cut.inputs[0] : heads;
  const Value result = mul(whole, scale);
  return permute(reshape(result, heads.shape()), split.attrs.get<std::vector<std::int64_t>>("axes"));
}

}  // namespace

std::vector<Value> decompose_scaled_dot_product_attention(const Node& node) {
  const Value value = node.inputs[2];
  const Value mask = node.inputs[3];
  const Shape& q = node.inputs[0].shape();
  const Shape& k = node.inputs[1].shape();
  const DType dtype = node.inputs[0].dtype();
  // Query heads that share a key head are rows of one matrix: the keys are read once and never repeated.
  const bool grouped = q[1] != k[1];
  const Dim rows = *q[1].exact_div(k[1]) * q[2];
  const auto together = [&](Value x) { return grouped ? reshape(x, {q[0], k[1], rows, x.dim(3)}) : x; };
  const auto apart = [&](Value x) { return grouped ? reshape(x, {q[0], q[1], q[2], x.dim(3)}) : x; };

  // The query is scaled, not the scores: they could overflow in half precision, and there are more of them.
  const double scale = node.attrs.real("scale");
  const Value query = together(scale == 1.0 ? node.inputs[0] : scaled(node.inputs[0], scale));
  const Value key_transposed = transpose(node.inputs[1], -2, -1);
  Value scores = matmul(query, key_transposed);
  if (const double cap = node.attrs.real("softcap"); cap != 0) scores = mul(tanh(div(scores, cap)), cap);
  if (!mask) return {apart(matmul(softmax(scores, -1), value))};
  if (mask.dtype() != DType::boolean) {
    const Value masked = add(apart(scores), mask);
    return {apart(matmul(together(softmax(masked, -1)), value))};
  }
  // What is added to masked scores stays finite under any score. A query that sees no key then attends to all
  // of them alike, where it must give 0: the last factor sees to that. Both are the same in all layers.
  Graph& graph = mask.graph();
  const Value zero = scalar(graph, 0.0, dtype);
  const Value bias = where(mask, zero, scalar(graph, lowest(dtype) / 2, dtype));
  const Value alive = minimum(sum(cast(mask, dtype), -1, true), 1.0);
  const Value masked = add(apart(scores), bias);
  const Value context = apart(matmul(together(softmax(masked, -1)), value));
  return {mul(context, alive)};
}

Types infer_attention(const Node& node) {
  if (node.inputs.size() != 8) reject(node, "expected 8 operands");
  const TensorType& q = operand(node, 0);
  const TensorType& k = operand(node, 1);
  const TensorType& v = operand(node, 2);
  require_float(node, q);
  require_same_dtype(node, q, k);
  require_same_dtype(node, q, v);
  const std::int64_t heads = node.attrs.integer("heads");
  const std::int64_t kv_heads = node.attrs.integer("kv_heads");
  const auto misfit = [&] {
    reject(node, "query {}, key {} and value {} are not {}, {} and {} heads", to_string(q.shape),
           to_string(k.shape), to_string(v.shape), heads, kv_heads, kv_heads);
  };
  if (q.shape.size() != 3 || k.shape.size() != 3 || v.shape.size() != 3 || heads < 1 || kv_heads < 1 ||
      heads % kv_heads != 0) {
    misfit();
  }
  const std::optional<Dim> dim = q.shape[2].exact_div(heads);
  const std::optional<Dim> value_dim = v.shape[2].exact_div(kv_heads);
  for (const TensorType* other : {&k, &v}) {
    if (other->shape[0] != q.shape[0] || other->shape[1] != q.shape[1]) misfit();
  }
  if (!dim || !value_dim || k.shape[2] != kv_heads * *dim || !dim->is_constant()) misfit();

  Shape key = {q.shape[0], kv_heads, q.shape[1], *dim};
  Shape value = {q.shape[0], kv_heads, q.shape[1], *value_dim};
  if (static_cast<bool>(node.inputs[3]) != static_cast<bool>(node.inputs[4]))
    reject(node, "past keys and past values go together");
  if (node.inputs[3]) {
    const TensorType& past_key = operand(node, 3);
    const TensorType& past_value = operand(node, 4);
    require_same_dtype(node, q, past_key);
    require_same_dtype(node, q, past_value);
    const Dim past = past_key.shape.size() == 4 ? past_key.shape[2] : Dim(0);
    if (past_key.shape != Shape{key[0], key[1], past, key[3]} ||
        past_value.shape != Shape{value[0], value[1], past, value[3]}) {
      reject(node, "the past {} and {} does not fit keys {} and values {}", to_string(past_key.shape),
             to_string(past_value.shape), to_string(key), to_string(value));
    }
    key[2] = past + key[2];
    value[2] = key[2];
  }
  check_mask(node, node.inputs[5], q.dtype, {q.shape[0], heads, q.shape[1], key[2]});
  if (static_cast<bool>(node.inputs[6]) != static_cast<bool>(node.inputs[7]))
    reject(node, "cosines and sines go together");
  if (node.inputs[6]) {
    const TensorType& cos = operand(node, 6);
    require_same_dtype(node, q, cos);
    const bool fits = cos == operand(node, 7) && cos.shape.size() == 3 &&
                      (cos.shape[0] == q.shape[0] || cos.shape[0] == Dim(1)) && cos.shape[1] == q.shape[1] &&
                      cos.shape[2].is_constant() && 2 * *cos.shape[2].constant() <= *dim->constant();
    if (!fits)
      reject(node, "cosines {} and sines {} do not fit the query {} of {} heads", to_string(cos.shape),
             to_string(operand(node, 7).shape), to_string(q.shape), heads);
  }
  return {{q.dtype, {q.shape[0], q.shape[1], heads * *value_dim}}, {q.dtype, key}, {q.dtype, value}};
}

std::vector<Value> decompose_attention(const Node& node) {
  const std::int64_t heads = node.attrs.integer("heads");
  const std::int64_t kv_heads = node.attrs.integer("kv_heads");
  const auto& in = node.inputs;
  const AttentionOptions options{.scale = node.attrs.real("scale"), .softcap = node.attrs.real("softcap")};
  Value query, key;
  if (in[6]) {  // queries and keys turn together: half the nodes
    const Value joined = is_split_of_two(in[0], in[1]) ? in[0].node()->inputs[0] : concat({in[0], in[1]}, 2);
    const Value both = split_heads(joined, heads + kv_heads);
    const std::vector<Value> parts = split(rotate(both, in[6], in[7]), 1, {heads, kv_heads});
    query = parts[0];
    key = parts[1];
  } else {
    query = split_heads(in[0], heads);
    key = split_heads(in[1], kv_heads);
  }
  Value value = split_heads(in[2], kv_heads);
  if (in[3]) {
    key = concat({in[3], key}, 2);
    value = concat({in[4], value}, 2);
  }
  const Value context = scaled_dot_product_attention(query, key, value, in[5], options);
  const Value merged = permute(context, {0, 2, 1, 3});
  return {reshape(merged, node.outputs[0].shape), key, value};
}

}  // namespace detail
}  // namespace onnxport::op
