// Matrix products, indexing and attention.
#include <cmath>

#include "onnxport/op.h"
#include "op/infer.h"

namespace onnxport::op {

using detail::from_front;
using detail::make;

Value embedding(Value table, Value indices) {
  return make(table.graph(), Op::embedding, {table, indices}, {}).out();
}

Value gather(Value x, std::int64_t axis, Value indices) {
  return make(x.graph(), Op::gather, {x, indices}, {{"axis", from_front(axis, x.rank())}}).out();
}

Value matmul(Value a, Value b) { return make(a.graph(), Op::matmul, {a, b}, {}).out(); }

Value linear(Value x, Value weight, Value bias) {
  return make(x.graph(), Op::linear, {x, weight, bias}, {}).out();
}

Value scaled_dot_product_attention(Value query, Value key, Value value, Value mask,
                                   const AttentionOptions& options) {
  std::optional<double> scale = options.scale;
  if (!scale && query.dim(-1).is_constant())
    scale = 1.0 / std::sqrt(static_cast<double>(*query.dim(-1).constant()));
  if (!scale)
    throw ExportError(ErrorCode::shape, "scaled_dot_product_attention: the head size must be a number");
  return make(query.graph(), Op::scaled_dot_product_attention, {query, key, value, mask}, {{"scale", *scale}})
      .out();
}

namespace detail {

Types infer_embedding(const Node& node) {
  const TensorType& table = operand(node, 0);
  const TensorType& indices = operand(node, 1);
  require_integer(node, indices);
  if (table.shape.empty()) reject(node, "the table is a scalar");
  Shape shape = indices.shape;
  shape.insert(shape.end(), table.shape.begin() + 1, table.shape.end());
  return {{table.dtype, std::move(shape)}};
}

Types infer_gather(const Node& node) {
  const TensorType& x = operand(node, 0);
  const TensorType& indices = operand(node, 1);
  require_integer(node, indices);
  const std::size_t axis = normalized_axis(node, node.attrs.integer("axis"), x.shape.size());
  bool fits = x.shape.size() == indices.shape.size();
  for (std::size_t a = 0; fits && a < x.shape.size(); ++a) {
    const Dim more = indices.shape[a] - x.shape[a];
    fits = a == axis || !more.is_constant() || *more.constant() <= 0;
  }
  if (!fits)
    reject(node, "indices are {}, expected at most {} outside of axis {}", to_string(indices.shape),
           to_string(x.shape), axis);
  return {{x.dtype, indices.shape}};
}

Types infer_matmul(const Node& node) {
  const TensorType& a = operand(node, 0);
  const TensorType& b = operand(node, 1);
  require_float(node, a);
  require_same_dtype(node, a, b);
  if (a.shape.size() < 2 || b.shape.size() < 2)
    reject(node, "got {} and {}", to_string(a.shape), to_string(b.shape));
  const Dim& inner_a = a.shape.back();
  const Dim& inner_b = b.shape[b.shape.size() - 2];
  std::optional<Shape> shape =
      broadcast(Shape(a.shape.begin(), a.shape.end() - 2), Shape(b.shape.begin(), b.shape.end() - 2));
  if (!shape || inner_a != inner_b)
    reject(node, "shapes {} and {} do not fit", to_string(a.shape), to_string(b.shape));
  shape->push_back(a.shape[a.shape.size() - 2]);
  shape->push_back(b.shape.back());
  return {{a.dtype, *std::move(shape)}};
}

Types infer_linear(const Node& node) {
  const TensorType& x = operand(node, 0);
  const TensorType& weight = operand(node, 1);
  require_float(node, x);
  require_same_dtype(node, x, weight);
  if (x.shape.empty() || weight.shape.size() != 2 || x.shape.back() != weight.shape[1]) {
    reject(node, "input {} and weight {} do not fit", to_string(x.shape), to_string(weight.shape));
  }
  if (node.inputs.size() > 2 && node.inputs[2]) {
    const TensorType& bias = operand(node, 2);
    require_same_dtype(node, x, bias);
    if (bias.shape != Shape{weight.shape[0]}) {
      reject(node, "bias {} does not fit weight {}", to_string(bias.shape), to_string(weight.shape));
    }
  }
  Shape shape = x.shape;
  shape.back() = weight.shape[0];
  return {{x.dtype, std::move(shape)}};
}

Types infer_scaled_dot_product_attention(const Node& node) {
  if (node.inputs.size() != 4) reject(node, "expected query, key, value and a mask that may be absent");
  const TensorType& q = operand(node, 0);
  const TensorType& k = operand(node, 1);
  const TensorType& v = operand(node, 2);
  require_float(node, q);
  require_same_dtype(node, q, k);
  require_same_dtype(node, q, v);
  const bool ranks = q.shape.size() == 4 && k.shape.size() == 4 && v.shape.size() == 4;
  if (!ranks || q.shape[0] != k.shape[0] || q.shape[0] != v.shape[0] || q.shape[1] != k.shape[1] ||
      q.shape[1] != v.shape[1] || q.shape[3] != k.shape[3] || k.shape[2] != v.shape[2]) {
    reject(node, "query {}, key {} and value {} do not fit", to_string(q.shape), to_string(k.shape),
           to_string(v.shape));
  }
  if (node.inputs[3]) {
    const TensorType& mask = operand(node, 3);
    const Shape scores{q.shape[0], q.shape[1], q.shape[2], k.shape[2]};
    if (mask.dtype != DType::boolean) require_same_dtype(node, q, mask);
    if (broadcast(mask.shape, scores) != scores) {
      reject(node, "mask {} does not broadcast to the scores {}", to_string(mask.shape), to_string(scores));
    }
  }
  return {{q.dtype, {q.shape[0], q.shape[1], q.shape[2], v.shape[3]}}};
}

std::vector<Value> decompose_scaled_dot_product_attention(const Node& node) {
  // The query is scaled, not the scores: they could overflow in half precision, and there are more of them.
  const Value query = mul(node.inputs[0], node.attrs.real("scale"));
  const Value key_transposed = transpose(node.inputs[1], -2, -1);
  const Value mask = node.inputs[3];
  const Value scores = matmul(query, key_transposed);
  if (!mask) {
    const Value weights = softmax(scores, -1);
    return {matmul(weights, node.inputs[2])};
  }
  if (mask.dtype() != DType::boolean) {
    const Value weights = softmax(add(scores, mask), -1);
    return {matmul(weights, node.inputs[2])};
  }
  // A row without any true must give 0, not the mean of all values: hence the second where.
  const Value masked = where(mask, scores, scalar(query.graph(), lowest(query.dtype()), query.dtype()));
  const Value weights = softmax(masked, -1);
  const Value kept = where(mask, weights, scalar(query.graph(), 0.0, query.dtype()));
  return {matmul(kept, node.inputs[2])};
}

}  // namespace detail
}  // namespace onnxport::op
