/// The last step of a weight's expression, for those who do it elsewhere.
#pragma once

#include <vector>

#include "onnxport/weight.h"

namespace onnxport {

/// The weight of which this one is a cast, where it is just that, in this shape; else empty.
/// (Its neighbour: Weight::transpose_of.)
Weight cast_of(const Weight& weight);

/// The weights that make this one, one behind the other along their first axis, where it is just that, in any
/// shape; else none.
std::vector<Weight> parts_of(const Weight& weight);

}  // namespace onnxport
