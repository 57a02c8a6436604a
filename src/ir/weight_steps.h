/// The last step of a weight's expression, for code that does this step elsewhere.
#pragma once

#include <string>
#include <vector>

#include "onnxport/weight.h"

namespace onnxport {

/// If this weight is only a cast of another one in the same shape: that weight; else empty. See also
/// Weight::transpose_of.
Weight cast_of(const Weight& weight);

/// The weights that make this one, one behind the other along their first axis, where it is just that, in any
/// shape; else none.
std::vector<Weight> parts_of(const Weight& weight);

/// What a weight is made of by casts and permutations alone, and a text of these steps. Weights with equal
/// steps are equal if their inner weights are. Reading an inner weight is cheaper: its elements lie together.
struct Steps {
  Weight inner;
  std::string text;
};
Steps steps_of(const Weight& weight);

}  // namespace onnxport
