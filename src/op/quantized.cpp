#include "op/quantized.h"

#include <utility>

#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "op/infer.h"

namespace onnxport::op {

Value dynamic_quantize(Value x) { return detail::make(x.graph(), Op::dynamic_quantize, {x}, {}).out(); }

Value index_select(Value x, Value indices) {
  return detail::make(x.graph(), Op::index_select, {x, indices}, {}).out();
}

namespace detail {

Types infer_dynamic_quantize(const Node& node) {
  const TensorType& x = operand(node, 0);
  if (x.dtype != DType::f32) reject(node, "got {}, expected a float32 tensor", to_string(x));
  return {x};
}

Types infer_index_select(const Node& node) {
  const TensorType& x = operand(node, 0);
  const TensorType& indices = operand(node, 1);
  require_integer(node, indices);
  if (x.shape.empty() || indices.shape.size() != 1)
    reject(node, "got {} and {}, expected at least one axis and a vector", to_string(x), to_string(indices));
  Shape shape = x.shape;
  shape.back() = indices.shape[0];
  return {{x.dtype, std::move(shape)}};
}

}  // namespace detail
}  // namespace onnxport::op
