// Reductions, softmax and normalizations.
#include "onnxport/op.h"
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

Value layer_norm(Value x, Value weight, Value bias, double eps) {
  return make(x.graph(), Op::layer_norm, {x, weight, bias}, {{"eps", eps}}).out();
}

Value group_norm(Value x, std::int64_t groups, Value weight, Value bias, double eps) {
  return make(x.graph(), Op::group_norm, {x, weight, bias}, {{"groups", groups}, {"eps", eps}}).out();
}

TopK topk(Value x, std::int64_t k, std::int64_t axis) {
  Node& node = make(x.graph(), Op::topk, {x}, {{"axis", from_front(axis, x.rank())}, {"k", k}});
  return {node.out(0), node.out(1)};
}

Value rms_norm(Value x, Value weight, double eps) {
  return make(x.graph(), Op::rms_norm, {x, weight}, {{"eps", eps}}).out();
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

namespace {

// x, and parameters of the extent of its last axis, which may be absent.
Types infer_norm(const Node& node, std::initializer_list<const char*> parameters) {
  const TensorType& x = operand(node, 0);
  require_float(node, x);
  if (node.inputs.size() != 1 + parameters.size())
    reject(node, "{} operands, expected {}", node.inputs.size(), 1 + parameters.size());
  if (x.shape.empty()) reject(node, "got a scalar");
  std::size_t i = 0;
  for (const char* name : parameters) {
    if (!node.inputs[++i]) continue;
    const TensorType& parameter = operand(node, i);
    require_same_dtype(node, x, parameter);
    if (parameter.shape != Shape{x.shape.back()})
      reject(node, "{} is {}, expected [{}]", name, to_string(parameter.shape), x.shape.back().str());
  }
  return {x};
}

}  // namespace

Types infer_layer_norm(const Node& node) { return infer_norm(node, {"weight", "bias"}); }
Types infer_rms_norm(const Node& node) { return infer_norm(node, {"weight"}); }

Types infer_group_norm(const Node& node) {
  const TensorType& x = operand(node, 0);
  require_float(node, x);
  const std::int64_t groups = node.attrs.integer("groups");
  if (x.shape.size() < 2 || !x.shape[1].is_constant() || groups < 1 || !x.shape[1].exact_div(groups))
    reject(node, "channels of {} are not {} equal groups", to_string(x.shape), groups);
  for (std::size_t i = 1; i < node.inputs.size(); ++i) {
    if (!node.inputs[i]) continue;
    const TensorType& parameter = operand(node, i);
    require_same_dtype(node, x, parameter);
    if (parameter.shape != Shape{x.shape[1]})
      reject(node, "{} is {}, expected [{}]", i == 1 ? "weight" : "bias", to_string(parameter.shape),
             x.shape[1].str());
  }
  return {x};
}

// The order of operations is the one that ONNX Runtime's own fusion recognizes.
// Half precision is widened inside, as in the original kernels: squares overflow and eps would vanish.
std::vector<Value> decompose_layer_norm(const Node& node) {
  const DType dtype = node.outputs[0].dtype;
  const DType inner = dtype == DType::f64 ? DType::f64 : DType::f32;
  const Value x = cast(node.inputs[0], inner);
  const Value centered = sub(x, mean(x, -1, true));
  const Value variance = mean(pow(centered, 2.0), -1, true);
  const Value deviation = sqrt(add(variance, node.attrs.real("eps")));
  Value result = div(centered, deviation);
  if (node.inputs[1]) result = mul(result, cast(node.inputs[1], inner));
  if (node.inputs[2]) result = add(result, cast(node.inputs[2], inner));
  return {cast(result, dtype)};
}

std::vector<Value> decompose_group_norm(const Node& node) {
  const DType dtype = node.outputs[0].dtype;
  const DType inner = dtype == DType::f64 ? DType::f64 : DType::f32;
  const Shape& shape = node.outputs[0].shape;
  const std::int64_t groups = node.attrs.integer("groups");
  const Dim width = *shape[1].exact_div(groups) * numel(Shape(shape.begin() + 2, shape.end()));
  const Value rows = reshape(cast(node.inputs[0], inner), {shape[0], groups, width});
  const double eps = node.attrs.real("eps");
  // A norm with a channel for each group has an ONNX op in float32, which makes fewer rounds through memory.
  const bool is_that = rows == node.inputs[0] && node.inputs[1] && node.inputs[2];
  Value normed;
  if (inner == DType::f32 && !is_that) {
    const auto all = [&](double value) {
      const std::vector<double> values(static_cast<std::size_t>(groups), value);
      return rows.graph().weight_as_is(Weight::from_doubles(inner, {groups}, values));
    };
    const Value ones = all(1);
    normed = group_norm(rows, groups, ones, all(0), eps);
  } else {
    normed = layer_norm(rows, {}, {}, eps);
  }
  Value result = reshape(normed, shape);
  Shape channels(shape.size() - 1, 1);
  channels[0] = shape[1];
  if (node.inputs[1]) result = mul(result, reshape(cast(node.inputs[1], inner), channels));
  if (node.inputs[2]) result = add(result, reshape(cast(node.inputs[2], inner), channels));
  return {cast(result, dtype)};
}

std::vector<Value> decompose_rms_norm(const Node& node) {
  const DType dtype = node.outputs[0].dtype;
  const DType inner = dtype == DType::f64 ? DType::f64 : DType::f32;
  const Value x = cast(node.inputs[0], inner);
  const Value square = mean(pow(x, 2.0), -1, true);
  const Value root = sqrt(add(square, node.attrs.real("eps")));
  Value result = div(x, root);
  if (node.inputs[1]) result = mul(result, cast(node.inputs[1], inner));
  return {cast(result, dtype)};
}

}  // namespace detail
}  // namespace onnxport::op
