/// Noise without a generator of random numbers.
#pragma once

#include <cstdint>

#include "onnxport/dim.h"
#include "onnxport/graph.h"

namespace onnxport::nn {

// A file has no random numbers that a check could compare. These numbers are computed from their places: they
// look random, but are the same in every call. float32.

/// Between 0 and 1, for int64 places >= 0 of any shape. `seed` >= 0 selects one of many sequences.
ONNXPORT_API Value uniform_noise(Value places, std::int64_t seed);
/// Normally distributed with mean 0 and deviation 1, of this shape. (Box and Muller 1958)
ONNXPORT_API Value normal_noise(Graph& graph, const Shape& shape, std::int64_t seed);

}  // namespace onnxport::nn
