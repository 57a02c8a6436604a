/// Makes bfloat16 files runnable with float32 kernels.
#pragma once

#include <filesystem>

namespace onnxport::serialize {

/// Writes a copy of an ONNX file in which every bfloat16 is float32: casts, inputs, outputs, and weights with
/// the same values. It computes in float32 with weights rounded to bfloat16.
void widen_bfloat16(const std::filesystem::path& model, const std::filesystem::path& copy);

}  // namespace onnxport::serialize
