/// The outputs of two files on the same inputs.
#pragma once

#include "onnxport/diff.h"
#include "onnxport/inspect.h"

namespace onnxport::measure {

/// Runs both files, one after the other, and fills `cases`, `drift`, `atol` and `run_error`.
void compare_numbers(const ModelSummary& a, const ModelSummary& b, const DiffOptions& options,
                     FileDiff& diff);

}  // namespace onnxport::measure
