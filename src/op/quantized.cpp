#include "op/quantized.h"

#include "onnxport/op.h"
#include "op/infer.h"

namespace onnxport::op {

Value dynamic_quantize(Value x) { return detail::make(x.graph(), Op::dynamic_quantize, {x}, {}).out(); }

namespace detail {

Types infer_dynamic_quantize(const Node& node) {
  const TensorType& x = operand(node, 0);
  if (x.dtype != DType::f32) reject(node, "got {}, expected a float32 tensor", to_string(x));
  return {x};
}

}  // namespace detail
}  // namespace onnxport::op
