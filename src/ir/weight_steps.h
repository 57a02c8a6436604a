/// The last step of a weight's expression, for code that does this step elsewhere.
#pragma once

#include <vector>

#include "onnxport/weight.h"

namespace onnxport {

/// If this weight is only a cast of another one in the same shape: that weight; else empty. See also
/// Weight::transpose_of.
Weight cast_of(const Weight& weight);

/// The weights that make this one, one behind the other along their first axis, where it is just that, in any
/// shape; else none.
std::vector<Weight> parts_of(const Weight& weight);

}  // namespace onnxport
