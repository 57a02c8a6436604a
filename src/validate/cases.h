/// The inputs for validation.
#pragma once

#include <string>
#include <vector>

#include "onnxport/interface.h"
#include "onnxport/tensor.h"

namespace onnxport::validate {

/// Inputs of one run.
struct InputCase {
  std::string name;
  NamedTensors inputs;
};

/// The requested shapes without padding and, if axes are dynamic, other shapes. These depend on the inputs.
/// Text: one row of one token, a batch padded on the right, and a batch padded on the left; with a cache,
/// these start from an empty one, and two more continue from a filled one. Only images: two more batch sizes,
/// and sizes if the model takes any. Audio samples: two more lengths.
std::vector<InputCase> input_cases(const Interface& interface);

}  // namespace onnxport::validate
