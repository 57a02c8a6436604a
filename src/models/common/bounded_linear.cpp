#include "models/common/bounded_linear.h"

#include "onnxport/op.h"

namespace onnxport::models {

BoundedLinear::BoundedLinear(const Scope& s, std::int64_t in, std::int64_t out, bool bounded)
    : linear_(s / "linear", in, out, false) {
  if (!bounded) return;
  input_ = {s.try_weight("input_min", {}), s.try_weight("input_max", {})};
  output_ = {s.try_weight("output_min", {}), s.try_weight("output_max", {})};
}

Value BoundedLinear::Bounds::apply(Value x) const {
  if (low) x = op::maximum(x, x.graph().weight(low));
  return high ? op::minimum(x, x.graph().weight(high)) : x;
}

Value BoundedLinear::operator()(Value x) const {
  const ModulePath at(x, linear_.path());
  return output_.apply(linear_(input_.apply(x)));
}

}  // namespace onnxport::models
