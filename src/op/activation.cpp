// Activations.
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/infer.h"

namespace onnxport::op {

using detail::make;

Value gelu(Value x, std::string_view approximate) {
  return make(x.graph(), Op::gelu, {x}, {{"approximate", std::string(approximate)}}).out();
}
Value bias_gelu(Value x, Value bias, std::string_view approximate) {
  return make(x.graph(), Op::bias_gelu, {x, bias}, {{"approximate", std::string(approximate)}}).out();
}
Value quick_gelu(Value x) { return make(x.graph(), Op::quick_gelu, {x}, {}).out(); }
Value silu(Value x) { return make(x.graph(), Op::silu, {x}, {}).out(); }
Value mish(Value x) { return make(x.graph(), Op::mish, {x}, {}).out(); }

namespace detail {

Types infer_gelu(const Node& node) {
  require_float(node, operand(node, 0));
  const std::string& approximate = node.attrs.get<std::string>("approximate");
  if (approximate != "none" && approximate != "tanh") {
    reject(node, "approximate is \"{}\", expected \"none\" or \"tanh\"", approximate);
  }
  return {operand(node, 0)};
}

Types infer_bias_gelu(const Node& node) {
  const TensorType& x = operand(node, 0);
  const TensorType& bias = operand(node, 1);
  require_same_dtype(node, x, bias);
  if (x.shape.empty() || bias.shape != Shape{x.shape.back()})
    reject(node, "bias {} does not fit {}", to_string(bias), to_string(x));
  return infer_gelu(node);
}

Types infer_silu(const Node& node) {
  require_float(node, operand(node, 0));
  return {operand(node, 0)};
}

Types infer_mish(const Node& node) { return infer_silu(node); }
Types infer_quick_gelu(const Node& node) { return infer_silu(node); }

// As the formulas are commonly written: x * (1 + erf(x / sqrt(2))) * 0.5, and
// 0.5 x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
std::vector<Value> decompose_gelu(const Node& node) {
  const Value x = node.inputs[0];
  if (node.attrs.get<std::string>("approximate") == "none") {
    const Value scaled = div(x, 1.4142135623730951);
    const Value one_plus = add(erf(scaled), 1.0);
    return {mul(mul(x, one_plus), 0.5)};
  }
  const Value cubic = mul(pow(x, 3.0), 0.044715);
  const Value inner = mul(add(x, cubic), 0.7978845608028654);
  const Value one_plus = add(tanh(inner), 1.0);
  const Value half = mul(x, 0.5);
  return {mul(half, one_plus)};
}

std::vector<Value> decompose_bias_gelu(const Node& node) {
  return {gelu(add(node.inputs[0], node.inputs[1]), node.attrs.get<std::string>("approximate"))};
}

std::vector<Value> decompose_quick_gelu(const Node& node) {
  const Value gate = sigmoid(mul(node.inputs[0], 1.702));
  return {mul(node.inputs[0], gate)};
}

std::vector<Value> decompose_silu(const Node& node) {
  const Value gate = sigmoid(node.inputs[0]);
  return {mul(node.inputs[0], gate)};
}

std::vector<Value> decompose_mish(const Node& node) {
  const Value gate = tanh(softplus(node.inputs[0]));
  return {mul(node.inputs[0], gate)};
}

}  // namespace detail
}  // namespace onnxport::op
