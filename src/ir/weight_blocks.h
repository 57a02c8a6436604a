/// Weights that are stored in blocks: a step of evaluation that decodes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ir/weight_expr.h"

namespace onnxport::detail {

/// Some bytes that stand for some elements of float32, by themselves.
struct BlockFormat {
  std::string_view name;  ///< "Q8_0"
  std::int64_t bytes;     ///< of a block
  std::int64_t elements;  ///< of a block
  /// Decodes `count` blocks, one behind the other, to `count * elements` floats. Neither side is aligned.
  void (*decode)(const std::byte* blocks, std::int64_t count, std::byte* out);
};

/// The elements of the blocks that begin at the first byte of `bytes` (of dtype u8), as float32.
SourcePtr make_blocks(SourcePtr bytes, const BlockFormat& format);

/// A float32 tensor of this shape from the blocks that begin where `bytes` does, and take no more bytes. Its
/// number of elements must be a multiple of `format.elements`, else ExportError(shape).
Weight decode_blocks(const TensorView& bytes, const BlockFormat& format, Dims shape);

}  // namespace onnxport::detail
