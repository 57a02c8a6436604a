#include "ir/weight_steps.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "ir/weight_expr.h"
#include "support/text.h"

namespace onnxport {

using detail::WeightExpr;

Weight cast_of(const Weight& weight) {
  const WeightExpr& expr = WeightExpr::of(weight);
  return expr.kind == WeightExpr::Kind::cast ? WeightExpr::wrap(*expr.input).reshape(expr.shape) : Weight();
}

std::vector<Weight> parts_of(const Weight& weight) { return WeightExpr::of(weight).parts; }

Steps steps_of(const Weight& weight) {
  Steps steps{weight, {}};
  // A reshape keeps the input of the step before it.
  for (const auto* expr = &WeightExpr::of(weight); expr->input; expr = expr->input.get()) {
    steps.text += fmt::format("{}[{}]({}) ", short_name(expr->source->dtype()), fmt::join(expr->axes, ","),
                              fmt::join(expr->shape, ","));
    steps.inner = WeightExpr::wrap(*expr->input);
  }
  return steps;
}

}  // namespace onnxport
