// One function per op: semantic op -> ONNX nodes.
#include <fmt/format.h>

#include <numeric>

#include "lower/emitter.h"
#include "onnxport/error.h"
#include "onnxport/op.h"

namespace onnxport::lower {
namespace {

std::int64_t onnx_type(DType dtype) {  // TensorProto.DataType
  switch (dtype) {
    case DType::f32:
      return 1;
    case DType::u8:
      return 2;
    case DType::i8:
      return 3;
    case DType::u16:
      return 4;
    case DType::i16:
      return 5;
    case DType::i32:
      return 6;
    case DType::i64:
      return 7;
    case DType::boolean:
      return 9;
    case DType::f16:
      return 10;
    case DType::f64:
      return 11;
    case DType::u32:
      return 12;
    case DType::u64:
      return 13;
    case DType::bf16:
      return 16;
  }
  throw ExportError(ErrorCode::internal, "unknown dtype");
}

std::string direct(Emitter& e, const Node& node, const char* op_type) {
  return e.emit(op_type, e.names_of(node.inputs));
}

// Max and Min took only floats before opset 12.
std::string extremum(Emitter& e, const Node& node, const char* op_type, const char* comparison) {
  if (e.opset() >= 12 || is_float(node.outputs[0].dtype)) return direct(e, node, op_type);
  const Names names = e.names_of(node.inputs);
  const std::string condition = e.emit(comparison, names);
  return e.emit("Where", {condition, names[0], names[1]});
}

// LessOrEqual and GreaterOrEqual came with opset 12.
std::string or_equal(Emitter& e, const Node& node, const char* op_type, const char* strict) {
  if (e.opset() >= 12) return direct(e, node, op_type);
  const Names names = e.names_of(node.inputs);
  const std::string less = e.emit(strict, names);
  const std::string equal = e.emit("Equal", names);
  return e.emit("Or", {less, equal});
}

std::string reduction(Emitter& e, const Node& node, const char* op_type, int operand_since) {
  return e.emit_with_axes(op_type, e.name_of(node.inputs[0]), {node.attrs.integer("axis")}, operand_since,
                          {{"keepdims", std::int64_t{node.attrs.flag("keepdim")}}});
}

std::int64_t rank_of(const Node& node) { return static_cast<std::int64_t>(node.inputs[0].shape().size()); }

}  // namespace

bool has_native_form(const Node& node, const Target& target) {
  switch (node.op) {
    case Op::gelu:
      return target.opset >= 20;
    case Op::mish:
      return target.opset >= 18;
    case Op::layer_norm:
      return target.opset >= 17 && node.inputs[1];
    default:
      return !op::detail::is_composite(node.op);
  }
}

std::string lower_neg(Emitter& e, const Node& node) { return direct(e, node, "Neg"); }
std::string lower_abs(Emitter& e, const Node& node) { return direct(e, node, "Abs"); }
std::string lower_exp(Emitter& e, const Node& node) { return direct(e, node, "Exp"); }
std::string lower_log(Emitter& e, const Node& node) { return direct(e, node, "Log"); }
std::string lower_sqrt(Emitter& e, const Node& node) { return direct(e, node, "Sqrt"); }
std::string lower_reciprocal(Emitter& e, const Node& node) { return direct(e, node, "Reciprocal"); }
std::string lower_erf(Emitter& e, const Node& node) { return direct(e, node, "Erf"); }
std::string lower_tanh(Emitter& e, const Node& node) { return direct(e, node, "Tanh"); }
std::string lower_sigmoid(Emitter& e, const Node& node) { return direct(e, node, "Sigmoid"); }
std::string lower_relu(Emitter& e, const Node& node) { return direct(e, node, "Relu"); }
std::string lower_softplus(Emitter& e, const Node& node) { return direct(e, node, "Softplus"); }
std::string lower_sin(Emitter& e, const Node& node) { return direct(e, node, "Sin"); }
std::string lower_cos(Emitter& e, const Node& node) { return direct(e, node, "Cos"); }
std::string lower_logical_not(Emitter& e, const Node& node) { return direct(e, node, "Not"); }

std::string lower_add(Emitter& e, const Node& node) { return direct(e, node, "Add"); }
std::string lower_sub(Emitter& e, const Node& node) { return direct(e, node, "Sub"); }
std::string lower_mul(Emitter& e, const Node& node) { return direct(e, node, "Mul"); }
std::string lower_div(Emitter& e, const Node& node) { return direct(e, node, "Div"); }
std::string lower_pow(Emitter& e, const Node& node) { return direct(e, node, "Pow"); }
std::string lower_maximum(Emitter& e, const Node& node) { return extremum(e, node, "Max", "Greater"); }
std::string lower_minimum(Emitter& e, const Node& node) { return extremum(e, node, "Min", "Less"); }
std::string lower_logical_and(Emitter& e, const Node& node) { return direct(e, node, "And"); }
std::string lower_logical_or(Emitter& e, const Node& node) { return direct(e, node, "Or"); }

std::string lower_eq(Emitter& e, const Node& node) { return direct(e, node, "Equal"); }
std::string lower_lt(Emitter& e, const Node& node) { return direct(e, node, "Less"); }
std::string lower_gt(Emitter& e, const Node& node) { return direct(e, node, "Greater"); }
std::string lower_le(Emitter& e, const Node& node) { return or_equal(e, node, "LessOrEqual", "Less"); }
std::string lower_ge(Emitter& e, const Node& node) { return or_equal(e, node, "GreaterOrEqual", "Greater"); }

std::string lower_cast(Emitter& e, const Node& node) {
  return e.emit("Cast", e.names_of(node.inputs), {{"to", onnx_type(node.outputs[0].dtype)}});
}
std::string lower_where(Emitter& e, const Node& node) { return direct(e, node, "Where"); }

std::string lower_reshape(Emitter& e, const Node& node) {
  const std::string target = e.reshape_target(node.inputs[0].shape(), node.outputs[0].shape);
  return e.emit("Reshape", {e.name_of(node.inputs[0]), target});
}

std::string lower_permute(Emitter& e, const Node& node) {
  return e.emit("Transpose", e.names_of(node.inputs),
                {{"perm", node.attrs.get<std::vector<std::int64_t>>("axes")}});
}

std::string lower_expand(Emitter& e, const Node& node) {
  const std::string target = e.expand_target(node.inputs[0].shape(), node.outputs[0].shape);
  return e.emit("Expand", {e.name_of(node.inputs[0]), target});
}

std::string lower_concat(Emitter& e, const Node& node) {
  return e.emit("Concat", e.names_of(node.inputs), {{"axis", node.attrs.integer("axis")}});
}

std::string lower_slice(Emitter& e, const Node& node) {
  const Shape& range = node.attrs.get<Shape>("range");
  const std::string begin = e.dim(range[0]);
  const std::string end = e.dim(range[1]);
  return e.emit("Slice", {e.name_of(node.inputs[0]), begin, end, e.ints({node.attrs.integer("axis")})});
}

std::string lower_arange(Emitter& e, const Node& node) {
  const Shape& range = node.attrs.get<Shape>("range");
  const std::string begin = e.scalar_dim(range[0]);
  const std::string end = e.scalar_dim(range[1]);
  return e.emit("Range", {begin, end, e.scalar(1, DType::i64)});
}

std::string lower_size(Emitter& e, const Node& node) { return e.scalar_dim(node.attrs.get<Shape>("dim")[0]); }

std::string lower_cumsum(Emitter& e, const Node& node) {
  const std::string axis = e.scalar(static_cast<double>(node.attrs.integer("axis")), DType::i64);
  return e.emit("CumSum", {e.name_of(node.inputs[0]), axis});
}

std::string lower_sum(Emitter& e, const Node& node) { return reduction(e, node, "ReduceSum", 13); }
std::string lower_mean(Emitter& e, const Node& node) { return reduction(e, node, "ReduceMean", 18); }
std::string lower_amax(Emitter& e, const Node& node) { return reduction(e, node, "ReduceMax", 18); }

std::string lower_argmax(Emitter& e, const Node& node) {
  return e.emit(
      "ArgMax", e.names_of(node.inputs),
      {{"axis", node.attrs.integer("axis")}, {"keepdims", std::int64_t{node.attrs.flag("keepdim")}}});
}

std::string lower_embedding(Emitter& e, const Node& node) { return direct(e, node, "Gather"); }

std::string lower_gather(Emitter& e, const Node& node) {
  return e.emit("GatherElements", e.names_of(node.inputs), {{"axis", node.attrs.integer("axis")}});
}

std::string lower_matmul(Emitter& e, const Node& node) { return direct(e, node, "MatMul"); }

// Gemm keeps the checkpoint's bytes of the weight. pass::flatten_linear gives it the matrices that it takes;
// where it did not run, MatMul takes any rank and the transposed weight.
std::string lower_linear(Emitter& e, const Node& node) {
  const Value weight = node.inputs[1];
  const Value bias = node.inputs[2];
  if (rank_of(node) == 2) return e.emit("Gemm", e.names_of(node.inputs), {{"transB", std::int64_t{1}}});
  const std::string transposed =
      weight.node()->op == Op::weight
          ? e.weight(weight.node()->weight.permute({1, 0}))
          : e.emit("Transpose", {e.name_of(weight)}, {{"perm", std::vector<std::int64_t>{1, 0}}});
  const std::string product = e.emit("MatMul", {e.name_of(node.inputs[0]), transposed});
  return bias ? e.emit("Add", {product, e.name_of(bias)}) : product;
}

// Before opset 13, Softmax flattened everything from `axis` on: right only for the last axis.
std::string lower_softmax(Emitter& e, const Node& node) {
  const std::int64_t axis = node.attrs.integer("axis");
  const std::int64_t last = rank_of(node) - 1;
  const std::string x = e.name_of(node.inputs[0]);
  if (e.opset() >= 13 || axis == last) return e.emit("Softmax", {x}, {{"axis", axis}});
  std::vector<std::int64_t> swap(static_cast<std::size_t>(last + 1));
  std::iota(swap.begin(), swap.end(), 0);
  std::swap(swap[static_cast<std::size_t>(axis)], swap[static_cast<std::size_t>(last)]);
  const std::string turned = e.emit("Transpose", {x}, {{"perm", swap}});
  const std::string result = e.emit("Softmax", {turned}, {{"axis", last}});
  return e.emit("Transpose", {result}, {{"perm", swap}});
}

std::string lower_normalize(Emitter& e, const Node& node) {
  const std::string x = e.name_of(node.inputs[0]);
  const std::string norm =
      e.emit_with_axes("ReduceL2", x, {node.attrs.integer("axis")}, 18, {{"keepdims", std::int64_t{1}}});
  const std::string clamped = e.emit("Max", {norm, e.scalar(node.attrs.real("eps"), node.outputs[0].dtype)});
  return e.emit("Div", {x, clamped});
}

std::string lower_gelu(Emitter& e, const Node& node) {
  return e.emit("Gelu", e.names_of(node.inputs),
                {{"approximate", node.attrs.get<std::string>("approximate")}});
}

std::string lower_mish(Emitter& e, const Node& node) { return direct(e, node, "Mish"); }

std::string lower_layer_norm(Emitter& e, const Node& node) {
  return e.emit("LayerNormalization", e.names_of(node.inputs),
                {{"axis", std::int64_t{-1}}, {"epsilon", static_cast<float>(node.attrs.real("eps"))}});
}

namespace {
[[noreturn]] std::string only_decomposed(const Node& node) {
  throw ExportError(ErrorCode::internal,
                    fmt::format("{} reached lowering without being decomposed", to_string(node.op)));
}
}  // namespace

std::string lower_silu(Emitter& /*e*/, const Node& node) { only_decomposed(node); }
std::string lower_scaled_dot_product_attention(Emitter& /*e*/, const Node& node) { only_decomposed(node); }

}  // namespace onnxport::lower
