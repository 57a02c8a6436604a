/// Where a program around this one has found ONNX Runtime.
#pragma once

#include <filesystem>

namespace onnxport::runtime {

/// A library that is looked for after `$ONNXRUNTIME_ROOT/lib` and before all others. Call it before the first
/// use.
void set_library(std::filesystem::path library);
/// That library; empty: there is none.
const std::filesystem::path& library_path();

}  // namespace onnxport::runtime
