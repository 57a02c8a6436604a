/// The inputs for validation.
#pragma once

#include <string>
#include <vector>

#include "onnxport/graph.h"
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

/// The same for the component's graph. If a table of the graph has fewer rows than these lengths need, such
/// as one of positions, the sequences are as long as it allows.
std::vector<InputCase> input_cases(const Interface& interface, const Graph& graph);

}  // namespace onnxport::validate
