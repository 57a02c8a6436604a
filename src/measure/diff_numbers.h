/// The outputs of two files on the same inputs.
#pragma once

#include "measure/node_pairs.h"
#include "onnxport/diff.h"
#include "onnxport/inspect.h"

namespace onnxport::measure {

/// Runs both files, one after the other, and fills `cases`, `drift`, `atol`, `run_error`, and the values of
/// `nodes`.
void compare_numbers(const ModelSummary& a, const ModelSummary& b, const PairedNodes& nodes,
                     const DiffOptions& options, FileDiff& diff);

}  // namespace onnxport::measure
