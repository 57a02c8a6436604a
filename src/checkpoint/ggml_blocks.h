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

/// The parts of a tensor that is stored in blocks: its values are (code - zero_point) * scale, plus an offset
/// in some formats. Scales and offsets are those of `group_size` elements.
struct BlockParts {
  detail::BlockFormat codes;         ///< uint8, below 2^bits
  detail::BlockFormat scales;        ///< float32, one for each group
  detail::BlockFormat offsets = {};  ///< likewise; without `decode`: none
  int bits = 8;
  int zero_point = 0;
  std::int64_t group_size = 0;
};

/// A type of the format, by its number in files (enum ggml_type).
struct TensorType {
  std::uint32_t number;
  std::string_view name;
  /// For tensors that are stored element by element.
  DType dtype = DType::f32;
  /// For tensors that are stored in blocks; else null.
  const detail::BlockFormat* blocks = nullptr;
  const BlockParts* parts = nullptr;  ///< null if codes are not integers
  bool supported = true;
};

/// Null for a number that the format does not have.
const TensorType* find_type(std::uint32_t number);

/// The float32 values of a tensor that is stored in blocks, with a description of their parts if it is a
/// matrix
/// (`packed_of`). Throws as decode_blocks().
Weight read_blocks(const TensorType& type, const TensorView& bytes, const std::vector<std::int64_t>& shape);

/// "F32, F16, …"
std::vector<std::string> supported_types();

}  // namespace onnxport::gguf
