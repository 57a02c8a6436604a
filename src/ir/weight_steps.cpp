#include "ir/weight_steps.h"

#include "ir/weight_expr.h"

namespace onnxport {

using detail::WeightExpr;

Weight cast_of(const Weight& weight) {
  const WeightExpr& expr = WeightExpr::of(weight);
  return expr.kind == WeightExpr::Kind::cast ? WeightExpr::wrap(*expr.input).reshape(expr.shape) : Weight();
}

std::vector<Weight> parts_of(const Weight& weight) { return WeightExpr::of(weight).parts; }

}  // namespace onnxport
