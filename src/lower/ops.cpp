// One function per op: semantic op -> ONNX nodes.
#include <fmt/format.h>

#include <limits>
#include <numeric>
#include <optional>

#include "lower/conv.h"
#include "lower/emitter.h"
#include "lower/quantized.h"
#include "onnxport/error.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"

namespace onnxport::lower {

namespace {

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

// LessOrEqual and GreaterOrEqual exist since opset 12.
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

Lowered lower_neg(Emitter& e, const Node& node) { return direct(e, node, "Neg"); }
Lowered lower_abs(Emitter& e, const Node& node) { return direct(e, node, "Abs"); }
Lowered lower_exp(Emitter& e, const Node& node) { return direct(e, node, "Exp"); }
Lowered lower_log(Emitter& e, const Node& node) { return direct(e, node, "Log"); }
Lowered lower_sqrt(Emitter& e, const Node& node) { return direct(e, node, "Sqrt"); }
Lowered lower_reciprocal(Emitter& e, const Node& node) { return direct(e, node, "Reciprocal"); }
Lowered lower_erf(Emitter& e, const Node& node) { return direct(e, node, "Erf"); }
Lowered lower_tanh(Emitter& e, const Node& node) { return direct(e, node, "Tanh"); }
Lowered lower_sigmoid(Emitter& e, const Node& node) { return direct(e, node, "Sigmoid"); }
Lowered lower_softplus(Emitter& e, const Node& node) {
  return emit_widened(e, "Softplus", e.names_of(node.inputs), node.outputs[0].dtype, {});
}
Lowered lower_round(Emitter& e, const Node& node) { return direct(e, node, "Round"); }
Lowered lower_sin(Emitter& e, const Node& node) { return direct(e, node, "Sin"); }
Lowered lower_cos(Emitter& e, const Node& node) { return direct(e, node, "Cos"); }
Lowered lower_logical_not(Emitter& e, const Node& node) { return direct(e, node, "Not"); }

Lowered lower_add(Emitter& e, const Node& node) { return direct(e, node, "Add"); }
Lowered lower_sub(Emitter& e, const Node& node) { return direct(e, node, "Sub"); }
Lowered lower_mul(Emitter& e, const Node& node) { return direct(e, node, "Mul"); }
Lowered lower_pow(Emitter& e, const Node& node) { return direct(e, node, "Pow"); }
Lowered lower_maximum(Emitter& e, const Node& node) { return extremum(e, node, "Max", "Greater"); }
Lowered lower_minimum(Emitter& e, const Node& node) { return extremum(e, node, "Min", "Less"); }
Lowered lower_logical_and(Emitter& e, const Node& node) { return direct(e, node, "And"); }
Lowered lower_logical_or(Emitter& e, const Node& node) { return direct(e, node, "Or"); }

Lowered lower_eq(Emitter& e, const Node& node) { return direct(e, node, "Equal"); }
Lowered lower_lt(Emitter& e, const Node& node) { return direct(e, node, "Less"); }
Lowered lower_gt(Emitter& e, const Node& node) { return direct(e, node, "Greater"); }
Lowered lower_le(Emitter& e, const Node& node) { return or_equal(e, node, "LessOrEqual", "Less"); }
Lowered lower_ge(Emitter& e, const Node& node) { return or_equal(e, node, "GreaterOrEqual", "Greater"); }

Lowered lower_cast(Emitter& e, const Node& node) {
  return e.cast(e.name_of(node.inputs[0]), node.outputs[0].dtype);
}
Lowered lower_clamp(Emitter& e, const Node& node) {
  const DType dtype = node.outputs[0].dtype;
  const std::string low = e.scalar(node.attrs.real("low"), dtype);
  return e.emit("Clip", {e.name_of(node.inputs[0]), low, e.scalar(node.attrs.real("high"), dtype)});
}
Lowered lower_where(Emitter& e, const Node& node) { return direct(e, node, "Where"); }

Lowered lower_reshape(Emitter& e, const Node& node) {
  const std::string x = e.name_of(node.inputs[0]);
  if (node.outputs[0].shape.empty()) {  // a target without extents would be an empty tensor
    std::vector<std::int64_t> axes(node.inputs[0].shape().size());
    std::iota(axes.begin(), axes.end(), 0);
    return e.emit_with_axes("Squeeze", x, std::move(axes), 13);
  }
  return e.emit("Reshape", {x, e.reshape_target(node.inputs[0].shape(), node.outputs[0].shape)});
}

// ONNX Runtime 1.31 merges a rotation of axes such as {1, 2, 0} into the MatMul after it, and then crashes in
// half precision when it loads the file. It does not recognize the rotation if there is one more axis.
Lowered lower_permute(Emitter& e, const Node& node) {
  const auto& axes = node.attrs.get<std::vector<std::int64_t>>("axes");
  std::vector<std::int64_t> rotation(axes.size());
  std::iota(rotation.begin(), rotation.end(), 1);
  rotation.back() = 0;
  const std::string x = e.name_of(node.inputs[0]);
  const bool half = node.outputs[0].dtype == DType::f16 || node.outputs[0].dtype == DType::bf16;
  if (!half || axes.size() < 3 || axes != rotation) return e.emit("Transpose", {x}, {{"perm", axes}});
  const std::int64_t added = rank_of(node);
  rotation.insert(rotation.begin(), added);
  const std::string wider = e.emit_with_axes("Unsqueeze", x, {added}, 13);
  const std::string turned = e.emit("Transpose", {wider}, {{"perm", rotation}});
  return e.emit_with_axes("Squeeze", turned, {0}, 13);
}

Lowered lower_expand(Emitter& e, const Node& node) {
  const std::string target = e.expand_target(node.inputs[0].shape(), node.outputs[0].shape);
  return e.emit("Expand", {e.name_of(node.inputs[0]), target});
}

Lowered lower_concat(Emitter& e, const Node& node) {
  return e.emit("Concat", e.names_of(node.inputs), {{"axis", node.attrs.integer("axis")}});
}

Lowered lower_slice(Emitter& e, const Node& node) {
  const Shape& range = node.attrs.get<Shape>("range");
  const Dim& extent = node.inputs[0].dim(node.attrs.integer("axis"));
  // Counts from the end if that gives a number, to avoid arithmetic on shapes. Minus zero means "to the end".
  const auto bound = [&](const Dim& at) {
    const std::optional<std::int64_t> back = (at - extent).constant();
    if (at.is_constant() || !back) return e.dim(at);
    return e.ints({*back == 0 ? std::numeric_limits<std::int64_t>::max() : *back});
  };
  const std::string begin = bound(range[0]);
  const std::string end = bound(range[1]);
  return e.emit("Slice", {e.name_of(node.inputs[0]), begin, end, e.ints({node.attrs.integer("axis")})});
}

// Minus zero is the start: then all elements stay.
Lowered lower_tail(Emitter& e, const Node& node) {
  const std::string back = e.emit("Reshape", {e.emit("Neg", {e.name_of(node.inputs[1])}), e.ints({1})});
  const std::string end = e.ints({std::numeric_limits<std::int64_t>::max()});
  const std::int64_t axis = node.attrs.integer("axis");
  const std::string last = e.emit("Slice", {e.name_of(node.inputs[0]), back, end, e.ints({axis})});
  const Shape& shape = node.outputs[0].shape;
  const auto at = static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(shape.size()) : axis);
  e.define(shape[at], last, at);
  return last;
}

// The sizes were an attribute before opset 13.
Lowered lower_split(Emitter& e, const Node& node) {
  const auto& sizes = node.attrs.get<std::vector<std::int64_t>>("sizes");
  const std::string x = e.name_of(node.inputs[0]);
  const std::int64_t axis = node.attrs.integer("axis");
  if (e.opset() < 13) return e.emit_all("Split", sizes.size(), {x}, {{"axis", axis}, {"split", sizes}});
  return e.emit_all("Split", sizes.size(), {x, e.ints(sizes)}, {{"axis", axis}});
}

Lowered lower_arange(Emitter& e, const Node& node) {
  const Shape& range = node.attrs.get<Shape>("range");
  if (!node.inputs.empty()) {
    const std::string zero = e.scalar(0, DType::i64), one = e.scalar(1, DType::i64);
    const std::string counted = e.emit("Range", {zero, e.name_of(node.inputs[0]), one});
    e.define(range[1], counted, 0);
    return counted;
  }
  const std::string begin = e.scalar_dim(range[0]);
  const std::string end = e.scalar_dim(range[1]);
  return e.emit("Range", {begin, end, e.scalar(1, DType::i64)});
}

Lowered lower_nonzero(Emitter& e, const Node& node) {
  const std::string places = e.emit("NonZero", {e.name_of(node.inputs[0])});
  const std::string flat = e.emit("Reshape", {places, e.ints({-1})});
  e.define(node.attrs.get<Shape>("shape")[0], flat, 0);
  return flat;
}

Lowered lower_size(Emitter& e, const Node& node) { return e.scalar_dim(node.attrs.get<Shape>("dim")[0]); }

Lowered lower_cumsum(Emitter& e, const Node& node) {
  const std::string axis = e.scalar(static_cast<double>(node.attrs.integer("axis")), DType::i64);
  return e.emit("CumSum", {e.name_of(node.inputs[0]), axis});
}

Lowered lower_sum(Emitter& e, const Node& node) { return reduction(e, node, "ReduceSum", 13); }
Lowered lower_mean(Emitter& e, const Node& node) { return reduction(e, node, "ReduceMean", 18); }
Lowered lower_amax(Emitter& e, const Node& node) { return reduction(e, node, "ReduceMax", 18); }

// ONNX Runtime has a kernel for int64 since 1.20, and only on the CPU. Ids, positions and flags fit int32.
Lowered lower_argmax(Emitter& e, const Node& node) {
  std::string x = e.name_of(node.inputs[0]);
  if (node.inputs[0].dtype() == DType::i64) x = e.cast(x, DType::i32);
  return e.emit(
      "ArgMax", {x},
      {{"axis", node.attrs.integer("axis")}, {"keepdims", std::int64_t{node.attrs.flag("keepdim")}}});
}

Lowered lower_topk(Emitter& e, const Node& node) {
  return e.emit_all("TopK", 2, {e.name_of(node.inputs[0]), e.ints({node.attrs.integer("k")})},
                    {{"axis", node.attrs.integer("axis")}});
}

Lowered lower_embedding(Emitter& e, const Node& node) {
  if (auto rows = coded_embedding(e, node)) return *std::move(rows);
  return direct(e, node, "Gather");
}

Lowered lower_gather(Emitter& e, const Node& node) {
  return e.emit("GatherElements", e.names_of(node.inputs), {{"axis", node.attrs.integer("axis")}});
}

Lowered lower_index_select(Emitter& e, const Node& node) {
  return e.emit("Gather", e.names_of(node.inputs), {{"axis", static_cast<std::int64_t>(rank_of(node)) - 1}});
}

Lowered lower_matmul(Emitter& e, const Node& node) {
  if (auto product = integer_matmul(e, node)) return *std::move(product);
  return direct(e, node, "MatMul");
}

// Gemm keeps the checkpoint's bytes of the weight. pass::flatten_linear provides the matrices that Gemm
// needs. If that pass did not run, MatMul takes any rank and the transposed weight.
Lowered lower_linear(Emitter& e, const Node& node) {
  if (auto product = coded_linear(e, node)) return *std::move(product);
  const Value weight = node.inputs[1];
  const Value bias = node.inputs[2];
  if (rank_of(node) == 2) {
    // A weight stored as [in, out] (Conv1D of GPT-2) keeps its bytes too.
    const Weight stored = weight.node()->op == Op::weight ? weight.node()->weight.transpose_of() : Weight();
    if (stored) return e.emit("Gemm", {e.name_of(node.inputs[0]), e.weight(stored), e.name_of(bias)});
    return e.emit("Gemm", e.names_of(node.inputs), {{"transB", std::int64_t{1}}});
  }
  const std::string transposed =
      weight.node()->op == Op::weight
          ? e.weight(weight.node()->weight.permute({1, 0}))
          : e.emit("Transpose", {e.name_of(weight)}, {{"perm", std::vector<std::int64_t>{1, 0}}});
  const std::string product = e.emit("MatMul", {e.name_of(node.inputs[0]), transposed});
  return bias ? e.emit("Add", {product, e.name_of(bias)}) : product;
}

// Before opset 13, Softmax flattened all axes from `axis` on, which is correct only for the last axis.
Lowered lower_softmax(Emitter& e, const Node& node) {
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

// Computes half precision in float32, because squares would overflow and eps would vanish.
Lowered lower_normalize(Emitter& e, const Node& node) {
  const DType dtype = node.outputs[0].dtype;
  const bool half = size_of(dtype) < 4;
  std::string x = e.name_of(node.inputs[0]);
  if (half) x = e.cast(x, DType::f32);
  const std::string norm =
      e.emit_with_axes("ReduceL2", x, {node.attrs.integer("axis")}, 18, {{"keepdims", std::int64_t{1}}});
  const std::string floor = e.scalar(node.attrs.real("eps"), half ? DType::f32 : dtype);
  const std::string clamped = e.emit("Max", {norm, floor});
  const std::string result = e.emit("Div", {x, clamped});
  return half ? e.cast(result, dtype) : result;
}

}  // namespace onnxport::lower
