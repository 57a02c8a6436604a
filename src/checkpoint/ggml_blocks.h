/// The types of tensors in GGUF files, and decoders for the block types.
/// https://github.com/ggml-org/llama.cpp/blob/b6907/ggml/src/ggml-common.h (the structures `block_…`)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ir/weight_blocks.h"
#include "onnxport/dtype.h"

namespace onnxport::gguf {

/// A type of the format, by its number in files (enum ggml_type).
struct TensorType {
  std::uint32_t number;
  std::string_view name;
  /// For tensors that are stored element by element.
  DType dtype = DType::f32;
  /// For tensors that are stored in blocks; else null.
  const detail::BlockFormat* blocks = nullptr;
  bool supported = true;
};

/// Null for a number that the format does not have.
const TensorType* find_type(std::uint32_t number);

/// "F32, F16, …"
std::vector<std::string> supported_types();

}  // namespace onnxport::gguf
