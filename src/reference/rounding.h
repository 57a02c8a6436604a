/// The ranges and precisions of the declared dtypes.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "onnxport/dtype.h"
#include "reference/interpreter.h"

namespace onnxport::reference {

/// Nearest value of a float dtype, ties to even; ±inf beyond its range.
double round_to(DType dtype, double value);
/// The smallest magnitude that a float dtype rounds to infinity; infinity itself for float64.
double overflow_limit(DType dtype);
/// ±inf for values from this magnitude on.
inline double limited(double value, double limit) {
  return std::abs(value) >= limit ? std::copysign(std::numeric_limits<double>::infinity(), value) : value;
}
/// Wraps an integer to its dtype; 0 or 1 for bool.
std::int64_t wrap(DType dtype, std::int64_t value);
/// Rounds toward zero, saturated at the range of an integer dtype; NaN gives 0. For bool: whether it is not
/// zero.
std::int64_t truncate_to(DType dtype, double value);

/// The tensor rounded to its dtype, for discontinuous ops.
HostTensor rounded(HostTensor tensor);
/// Turns values beyond the range of the declared dtype into ±inf; integers wrap. Does not round.
void limit_range(HostTensor& tensor);

}  // namespace onnxport::reference
