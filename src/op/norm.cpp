// Normalizations.
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/infer.h"

namespace onnxport::op {

using detail::make;

Value layer_norm(Value x, Value weight, Value bias, double eps) {
  return make(x.graph(), Op::layer_norm, {x, weight, bias}, {{"eps", eps}}).out();
}

Value group_norm(Value x, std::int64_t groups, Value weight, Value bias, double eps) {
  return make(x.graph(), Op::group_norm, {x, weight, bias}, {{"groups", groups}, {"eps", eps}}).out();
}

Value rms_norm(Value x, Value weight, double eps) {
  return make(x.graph(), Op::rms_norm, {x, weight}, {{"eps", eps}}).out();
}

AddNorm add_layer_norm(Value x, Value skip, Value weight, Value bias, double eps, Value linear_bias) {
  Node& node = make(x.graph(), Op::add_layer_norm, {x, skip, weight, bias, linear_bias}, {{"eps", eps}});
  return {node.out(0), node.out(1)};
}

AddNorm add_rms_norm(Value x, Value skip, Value weight, double eps, Value linear_bias) {
  Node& node = make(x.graph(), Op::add_rms_norm, {x, skip, weight, linear_bias}, {{"eps", eps}});
  return {node.out(0), node.out(1)};
}

namespace detail {

namespace {

// x, and parameters with the extent of its last axis, which may be absent.
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

namespace {

// x and skip of the same shape, the parameters of the norm, and the bias of the layer that computed x.
Types infer_add_norm(const Node& node, std::size_t parameters) {
  const TensorType& x = operand(node, 0);
  require_float(node, x);
  if (node.inputs.size() != 3 + parameters)
    reject(node, "{} operands, expected {}", node.inputs.size(), 3 + parameters);
  if (x.shape.empty() || operand(node, 1) != x)
    reject(node, "{} and {}, expected two of one type", to_string(x), to_string(operand(node, 1)));
  for (std::size_t i = 2; i < node.inputs.size(); ++i) {
    if (!node.inputs[i]) continue;
    require_same_dtype(node, x, operand(node, i));
    if (operand(node, i).shape != Shape{x.shape.back()})
      reject(node, "operand {} is {}, expected [{}]", i, to_string(operand(node, i)), x.shape.back().str());
  }
  return {x, x};
}

// x + linear_bias + skip
Value whole_sum(const Node& node) {
  const Value linear_bias = node.inputs.back();
  return add(linear_bias ? add(node.inputs[0], linear_bias) : node.inputs[0], node.inputs[1]);
}

}  // namespace

Types infer_add_layer_norm(const Node& node) { return infer_add_norm(node, 2); }
Types infer_add_rms_norm(const Node& node) { return infer_add_norm(node, 1); }

std::vector<Value> decompose_add_layer_norm(const Node& node) {
  const Value sum = whole_sum(node);
  return {layer_norm(sum, node.inputs[2], node.inputs[3], node.attrs.real("eps")), sum};
}

std::vector<Value> decompose_add_rms_norm(const Node& node) {
  const Value sum = whole_sum(node);
  return {rms_norm(sum, node.inputs[2], node.attrs.real("eps")), sum};
}

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

// Computes half precision in float32, like the original kernels, because squares would overflow and eps would
// vanish.
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
  // A norm with one channel per group has an ONNX op in float32, which accesses memory less often.
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
