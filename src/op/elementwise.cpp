#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/infer.h"

namespace onnxport::op {

using detail::make;

Value scalar(Graph& graph, double value, DType dtype) {
  return graph.weight_as_is(Weight::from_doubles(dtype, {}, {&value, 1}));
}

#define ONNXPORT_UNARY(name) \
  Value name(Value x) { return make(x.graph(), Op::name, {x}, {}).out(); }
#define ONNXPORT_BINARY(name) \
  Value name(Value a, Value b) { return make(a.graph(), Op::name, {a, b}, {}).out(); }
#define ONNXPORT_COMPARE(name) ONNXPORT_BINARY(name)
#include "onnxport/ops.def"

namespace {
Value like(Value x, double value) { return scalar(x.graph(), value, x.dtype()); }
}  // namespace

Value add(Value a, double b) { return add(a, like(a, b)); }
Value sub(Value a, double b) { return sub(a, like(a, b)); }
Value sub(double a, Value b) { return sub(like(b, a), b); }
Value mul(Value a, double b) { return mul(a, like(a, b)); }
Value div(Value a, double b) { return div(a, like(a, b)); }
Value pow(Value a, double b) { return pow(a, like(a, b)); }
Value maximum(Value a, double b) { return maximum(a, like(a, b)); }
Value minimum(Value a, double b) { return minimum(a, like(a, b)); }
Value eq(Value a, double b) { return eq(a, like(a, b)); }
Value ne(Value a, double b) { return logical_not(eq(a, b)); }
Value lt(Value a, double b) { return lt(a, like(a, b)); }
Value gt(Value a, double b) { return gt(a, like(a, b)); }

Value cast(Value x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return make(x.graph(), Op::cast, {x}, {{"dtype", dtype}}).out();
}

Value where(Value condition, Value a, Value b) {
  return make(condition.graph(), Op::where, {condition, a, b}, {}).out();
}

Value masked_fill(Value x, Value mask, double value) { return where(mask, like(x, value), x); }

Value clamp(Value x, double low, double high) {
  return make(x.graph(), Op::clamp, {x}, {{"low", low}, {"high", high}}).out();
}

namespace detail {

Types infer_cast(const Node& node) { return {{node.attrs.get<DType>("dtype"), operand(node, 0).shape}}; }

Types infer_clamp(const Node& node) {
  require_float(node, operand(node, 0));
  const double low = node.attrs.real("low"), high = node.attrs.real("high");
  if (!(low <= high)) reject(node, "{} is not below {}", low, high);
  return {operand(node, 0)};
}

Types infer_where(const Node& node) {
  const TensorType& condition = operand(node, 0);
  const TensorType& a = operand(node, 1);
  const TensorType& b = operand(node, 2);
  if (condition.dtype != DType::boolean)
    reject(node, "the condition is {}, expected bool", to_string(condition));
  require_same_dtype(node, a, b);
  std::optional<Shape> shape = broadcast(a.shape, b.shape);
  if (shape) shape = broadcast(*shape, condition.shape);
  if (!shape) {
    reject(node, "shapes {}, {} and {} do not broadcast", to_string(condition.shape), to_string(a.shape),
           to_string(b.shape));
  }
  return {{a.dtype, *std::move(shape)}};
}

}  // namespace detail
}  // namespace onnxport::op
