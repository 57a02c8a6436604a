#include "onnxport/nn/response_norm.h"

#include "onnxport/op.h"

namespace onnxport::nn {

Value global_response_norm(Value x, const Weight& weight, const Weight& bias, double eps) {
  Graph& graph = x.graph();
  const Value flat = op::flatten(x, 1, 2);
  // In half precision, squares would overflow.
  const Value wide = op::cast(flat, DType::f32);
  const Value strength = op::cast(op::sqrt(op::sum(op::mul(wide, wide), 1, true)), x.dtype());
  const Value others = op::add(op::mean(strength, -1, true), eps);
  const Value factor = graph.weight(weight);
  const Value relative = op::mul(op::div(strength, others), factor);
  // The input is added to the result, which adds 1 to the factor.
  const Value scaled = op::mul(flat, op::add(relative, 1.0));
  return op::reshape(op::add(scaled, graph.weight(bias)), x.shape());
}

}  // namespace onnxport::nn
