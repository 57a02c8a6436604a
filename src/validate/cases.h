/// The inputs that validation runs on.
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

/// The shapes asked for without padding; and, where axes are dynamic, others. Their kind follows from the
/// inputs. Text: one row of one token, a batch padded on the right and a batch padded on the left; with a
/// cache these start from an empty one, and two more go on from a filled one. Images alone: two more sizes,
/// where the model takes any. Samples of audio: two more lengths.
std::vector<InputCase> input_cases(const Interface& interface);

}  // namespace onnxport::validate
