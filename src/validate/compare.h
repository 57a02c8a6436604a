/// What the comparisons have in common.
#pragma once

#include <vector>

#include "onnxport/validate.h"

namespace onnxport::validate {

/// Some outputs contain mask fills of this magnitude or more. These are far larger than any activation, so
/// they must not widen the tolerance of other values, and cannot meet an absolute tolerance.
inline constexpr double kSentinel = 1e6;

/// atol * max(1, max|value|) of the values that are finite and no mask fills.
double tolerance(const std::vector<double>& values, double atol);

/// Whether all outputs passed.
bool passed(const ValidationCase& one);

}  // namespace onnxport::validate
