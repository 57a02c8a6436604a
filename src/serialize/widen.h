/// bfloat16 files, made runnable where only float32 kernels exist.
#pragma once

#include <filesystem>

namespace onnxport::serialize {

/// Writes a copy of an ONNX file in which every bfloat16 is float32: weights with the same values, casts,
/// inputs and outputs. It computes in float32 with weights rounded to bfloat16.
void widen_bfloat16(const std::filesystem::path& model, const std::filesystem::path& copy);

}  // namespace onnxport::serialize
