/// Running a batch row by row.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "onnxport/tensor.h"
#include "runtime/session.h"

namespace onnxport::validate {

/// Whether ONNX Runtime's CPU kernels accept these inputs only row by row: GroupQueryAttention refuses
/// several new tokens after a past in batches of more than one row.
bool needs_single_rows(const std::filesystem::path& file, const NamedTensors& inputs);

/// Runs each row of a batch separately. The first axis of all inputs and outputs is the batch, unless its
/// extent is 1.
NamedTensors run_by_row(const runtime::Session& session, const NamedTensors& inputs,
                        const std::vector<std::string>& outputs);

}  // namespace onnxport::validate
