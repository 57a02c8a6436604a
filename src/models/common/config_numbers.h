/// Checks of numbers in config.json.
#pragma once

namespace onnxport::models {

/// Whether 0 < value < limit. False for a value that is not a number.
inline bool is_positive_below(double value, double limit) { return value > 0 && value < limit; }

}  // namespace onnxport::models
