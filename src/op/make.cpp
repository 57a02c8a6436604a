// Creates nodes: the table of inference functions, decompositions, and folding of weight arithmetic.
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/infer.h"

namespace onnxport::op::detail {
namespace {

Types infer_unary(const Node& node) {
  const TensorType& x = operand(node, 0);
  if ((node.op == Op::logical_not) != (x.dtype == DType::boolean)) {
    reject(node, "got {}, expected a {} tensor", to_string(x),
           node.op == Op::logical_not ? "boolean" : "numeric");
  }
  if (node.op != Op::logical_not && node.op != Op::neg && node.op != Op::abs) require_float(node, x);
  return {x};
}

Shape broadcast_shapes(const Node& node) {
  const TensorType& a = operand(node, 0);
  const TensorType& b = operand(node, 1);
  require_same_dtype(node, a, b);
  std::optional<Shape> shape = broadcast(a.shape, b.shape);
  if (!shape) reject(node, "shapes {} and {} do not broadcast", to_string(a.shape), to_string(b.shape));
  return *std::move(shape);
}

Types infer_binary(const Node& node) {
  Shape shape = broadcast_shapes(node);
  const DType dtype = node.inputs[0].dtype();
  const bool logical = node.op == Op::logical_and || node.op == Op::logical_or;
  if (logical != (dtype == DType::boolean)) reject(node, "got {} operands", to_string(dtype));
  return {{dtype, std::move(shape)}};
}

Types infer_compare(const Node& node) {
  if (node.op != Op::eq) require_number(node, operand(node, 0));
  return {{DType::boolean, broadcast_shapes(node)}};
}

Types infer(const Node& node) {
  switch (node.op) {
#define ONNXPORT_LEAF(name) \
  case Op::name:            \
    break;
#define ONNXPORT_UNARY(name) \
  case Op::name:             \
    return infer_unary(node);
#define ONNXPORT_BINARY(name) \
  case Op::name:              \
    return infer_binary(node);
#define ONNXPORT_COMPARE(name) \
  case Op::name:               \
    return infer_compare(node);
#define ONNXPORT_PRIMITIVE(name) \
  case Op::name:                 \
    return infer_##name(node);
#include "onnxport/ops.def"
  }
  reject(node, "leaves are made by the graph");
}

}  // namespace

Node& make(Graph& graph, Op op, std::vector<Value> inputs, Attrs attrs) {
  Node node;
  node.op = op;
  node.inputs = std::move(inputs);
  node.attrs = std::move(attrs);
  node.path = graph.path();
  for (const Value& input : node.inputs) {
    if (input && &input.graph() != &graph) reject(node, "an operand belongs to another graph");
  }
  Types types = infer(node);
  return graph.add(op, std::move(node.inputs), std::move(node.attrs), std::move(types));
}

std::vector<Value> decompose(const Node& node) {
  switch (node.op) {
#define ONNXPORT_COMPOSITE(name) \
  case Op::name:                 \
    return decompose_##name(node);
#include "onnxport/ops.def"
    default:
      throw ExportError(ErrorCode::internal, fmt::format("{} is not a composite op", to_string(node.op)));
  }
}

bool is_composite(Op op) {
  switch (op) {
#define ONNXPORT_COMPOSITE(name) \
  case Op::name:                 \
    return true;
#include "onnxport/ops.def"
    default:
      return false;
  }
}

Weight fold(const Node& node, std::span<const Weight> operands) {
  const std::optional<std::vector<std::int64_t>> shape = static_shape(node.outputs.at(0).shape);
  if (!shape) return {};
  const auto axis = [&] {
    const std::int64_t given = node.attrs.integer("axis");
    return given < 0 ? given + static_cast<std::int64_t>(operands[0].shape().size()) : given;
  };
  switch (node.op) {
    case Op::cast:
      return operands[0].cast(node.outputs[0].dtype);
    case Op::reshape:
      return operands[0].reshape(*shape);
    case Op::permute:
      return operands[0].permute(node.attrs.get<std::vector<std::int64_t>>("axes"));
    case Op::concat:
      return Weight::concat(operands, axis());
    case Op::slice: {
      const Shape& range = node.attrs.get<Shape>("range");
      if (!range[0].is_constant() || !range[1].is_constant()) return {};
      return operands[0].slice(axis(), *range[0].constant(), *range[1].constant());
    }
    case Op::sqrt:
      return operands[0].sqrt();
    case Op::exp:
      return operands[0].exp();
    case Op::sin:
      return operands[0].sin();
    case Op::cos:
      return operands[0].cos();
    case Op::add:
      return operands[0].add(operands[1]);
    case Op::sub:
      return operands[0].sub(operands[1]);
    case Op::mul:
      return operands[0].mul(operands[1]);
    case Op::div:
      return is_float(operands[0].dtype()) ? operands[0].div(operands[1]) : Weight();
    default:
      return {};
  }
}

}  // namespace onnxport::op::detail
