/// Outer values in the bodies of loops.
#pragma once

#include <string>
#include <vector>

#include "onnxport/inspect.h"

namespace onnxport::test {

/// The values that bodies of Scan in this graph take from outside without being given them, other than
/// initializers: "node: value". OpenVINO refuses a file that has one.
std::vector<std::string> taken_from_outside(const GraphSummary& graph);

}  // namespace onnxport::test
