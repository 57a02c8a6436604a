/// Division of integers in a graph.
#pragma once

#include "onnxport/op.h"

namespace onnxport::models {

/// a / b and a % b of integers that are not negative.
struct Division {
  Value quotient, remainder;
};

/// `b`: a value or a number.
template <class Divisor>
Division divide(Value a, Divisor b) {
  const Value quotient = op::div(a, b);
  return {quotient, op::sub(a, op::mul(quotient, b))};
}

}  // namespace onnxport::models
