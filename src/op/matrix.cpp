// Matrix products and indexing.
#include "onnxport/op.h"
#include "onnxport/ops.h"
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
    reject(node, "indices are {}, expected at most {} outside axis {}", to_string(indices.shape),
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
    Shape whole = x.shape;
    whole.back() = weight.shape[0];
    if (bias.shape != Shape{weight.shape[0]} && bias.shape != whole) {
      reject(node, "bias {} does not fit weight {}", to_string(bias.shape), to_string(weight.shape));
    }
  }
  Shape shape = x.shape;
  shape.back() = weight.shape[0];
  return {{x.dtype, std::move(shape)}};
}

}  // namespace detail
}  // namespace onnxport::op
