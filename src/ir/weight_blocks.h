/// Weights that are stored in blocks: a step of evaluation that decodes them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ir/weight_expr.h"

namespace onnxport::detail {

/// A format in which a fixed number of bytes encodes a fixed number of elements.
struct BlockFormat {
  std::string_view name;  ///< "Q8_0"
  std::int64_t bytes;     ///< of a block
  std::int64_t elements;  ///< of a block
  /// Decodes `count` successive blocks to `count * elements` elements. Neither side is aligned.
  void (*decode)(const std::byte* blocks, std::int64_t count, std::byte* out);
  DType dtype = DType::f32;  ///< of the elements
};

/// The elements of the blocks that begin at the first byte of `bytes` (dtype u8).
SourcePtr make_blocks(SourcePtr bytes, const BlockFormat& format);

/// A tensor of this shape from the blocks that fill `bytes`. Throws ExportError(shape) if its number
/// of elements is not a multiple of `format.elements`.
Weight decode_blocks(const TensorView& bytes, const BlockFormat& format, Dims shape);

}  // namespace onnxport::detail
