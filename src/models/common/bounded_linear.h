/// Linear layers whose input and output are bounded (Gemma 4).
#pragma once

#include <cstdint>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/scope.h"

namespace onnxport::models {

/// max(min(y, output_max), output_min) of y = W max(min(x, input_max), input_min). Keys: linear.weight, and
/// the four bounds, scalars; a bound that the checkpoint does not have is none.
class BoundedLinear {
 public:
  /// Without `bounded` it is a plain layer, and bounds are not looked for.
  BoundedLinear(const Scope& s, std::int64_t in, std::int64_t out, bool bounded);
  /// A plain layer. Key: weight.
  explicit BoundedLinear(nn::Linear linear) : linear_(std::move(linear)) {}
  /// [..., in] -> [..., out]
  Value operator()(Value x) const;

 private:
  struct Bounds {
    Weight low, high;
    Value apply(Value x) const;
  };
  nn::Linear linear_;
  Bounds input_ = {}, output_ = {};
};

}  // namespace onnxport::models
