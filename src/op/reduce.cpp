// Reductions and softmax.
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/infer.h"

namespace onnxport::op {

using detail::from_front;
using detail::make;

namespace {

Value reduce(Op op, Value x, std::int64_t axis, bool keepdim) {
  return make(x.graph(), op, {x}, {{"axis", from_front(axis, x.rank())}, {"keepdim", keepdim}}).out();
}

}  // namespace

Value sum(Value x, std::int64_t axis, bool keepdim) { return reduce(Op::sum, x, axis, keepdim); }
Value mean(Value x, std::int64_t axis, bool keepdim) { return reduce(Op::mean, x, axis, keepdim); }
Value amax(Value x, std::int64_t axis, bool keepdim) { return reduce(Op::amax, x, axis, keepdim); }
Value argmax(Value x, std::int64_t axis, bool keepdim) { return reduce(Op::argmax, x, axis, keepdim); }

Value cumsum(Value x, std::int64_t axis) {
  return make(x.graph(), Op::cumsum, {x}, {{"axis", from_front(axis, x.rank())}}).out();
}

Value softmax(Value x, std::int64_t axis) {
  return make(x.graph(), Op::softmax, {x}, {{"axis", from_front(axis, x.rank())}}).out();
}

TopK topk(Value x, std::int64_t k, std::int64_t axis) {
  Node& node = make(x.graph(), Op::topk, {x}, {{"axis", from_front(axis, x.rank())}, {"k", k}});
  return {node.out(0), node.out(1)};
}

Value normalize(Value x, std::int64_t axis, double eps) {
  return make(x.graph(), Op::normalize, {x}, {{"axis", from_front(axis, x.rank())}, {"eps", eps}}).out();
}

namespace detail {

namespace {

Types infer_reduction(const Node& node, DType dtype) {
  require_number(node, operand(node, 0));
  Shape shape = operand(node, 0).shape;
  const std::size_t axis = normalized_axis(node, node.attrs.integer("axis"), shape.size());
  if (node.attrs.flag("keepdim")) {
    shape[axis] = 1;
  } else {
    shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
  }
  return {{dtype, std::move(shape)}};
}

Types infer_along_axis(const Node& node) {
  normalized_axis(node, node.attrs.integer("axis"), operand(node, 0).shape.size());
  return {operand(node, 0)};
}

}  // namespace

Types infer_sum(const Node& node) { return infer_reduction(node, operand(node, 0).dtype); }

Types infer_mean(const Node& node) {
  require_float(node, operand(node, 0));
  return infer_reduction(node, operand(node, 0).dtype);
}

Types infer_amax(const Node& node) { return infer_reduction(node, operand(node, 0).dtype); }

Types infer_argmax(const Node& node) { return infer_reduction(node, DType::i64); }

Types infer_cumsum(const Node& node) {
  require_number(node, operand(node, 0));
  return infer_along_axis(node);
}

Types infer_softmax(const Node& node) {
  require_float(node, operand(node, 0));
  return infer_along_axis(node);
}

Types infer_normalize(const Node& node) {
  require_float(node, operand(node, 0));
  return infer_along_axis(node);
}

Types infer_topk(const Node& node) {
  const TensorType& x = operand(node, 0);
  require_float(node, x);
  Shape shape = x.shape;
  const std::size_t axis = normalized_axis(node, node.attrs.integer("axis"), shape.size());
  const std::int64_t k = node.attrs.integer("k");
  const Dim rest = shape[axis] - k;
  if (k < 1 || (rest.is_constant() && *rest.constant() < 0))
    reject(node, "k is {}, axis {} of {}", k, axis, to_string(x));
  shape[axis] = k;
  return {{x.dtype, shape}, {DType::i64, shape}};
}

}  // namespace detail
}  // namespace onnxport::op
