/// Running a batch row by row.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "onnxport/tensor.h"
#include "runtime/session.h"

namespace onnxport::validate {

/// Whether ONNX Runtime's CPU kernels take these inputs of the file only row by row: GroupQueryAttention
/// refuses several new tokens behind a past in batches of more than one.
bool needs_single_rows(const std::filesystem::path& file, const NamedTensors& inputs);

/// Runs each row of a batch alone. The first axis of all inputs and outputs is the batch, but for those of
/// extent 1.
NamedTensors run_by_row(const runtime::Session& session, const NamedTensors& inputs,
                        const std::vector<std::string>& outputs);

}  // namespace onnxport::validate
