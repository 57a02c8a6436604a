/// The inputs that validation runs on.
#pragma once

#include <string>
#include <vector>

#include "onnxport/onnx_config.h"
#include "onnxport/tensor.h"
#include "onnxport/validate.h"

namespace onnxport::validate {

/// Inputs of one run.
struct InputCase {
  std::string name;
  NamedTensors inputs;
};

/// The shapes asked for without padding; and, where axes are dynamic, one row of one token, a batch padded on
/// the right and a batch padded on the left; with a cache these start from an empty one, and two more go on
/// from a filled one.
std::vector<InputCase> input_cases(const OnnxConfig& config, const ValidationOptions& options);

}  // namespace onnxport::validate
