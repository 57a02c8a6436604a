/// Comparison of weights.
#pragma once

#include "onnxport/weight.h"

namespace onnxport {

/// Whether dtype, shape and all bytes are equal. Reads both in tiles, up to the first difference.
bool same_elements(const Weight& a, const Weight& b);

}  // namespace onnxport
