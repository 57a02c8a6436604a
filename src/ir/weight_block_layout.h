/// Matrices in blocks along their rows.
#pragma once

#include <cstdint>
#include <string_view>

#include "onnxport/weight.h"
#include "support/quantize_blocks.h"

namespace onnxport::detail {

/// Values [rows, columns] in blocks along their rows; the last block of a row may be shorter.
struct BlockLayout {
  std::int64_t rows, columns;
  std::int64_t block_size;   ///< values of a block
  std::int64_t block_bytes;  ///< its codes
  bool has_zero_points;

  /// Whether no block is shorter.
  bool even() const { return columns % block_size == 0; }
  /// Blocks of a row.
  std::int64_t across() const { return (columns - 1) / block_size + 1; }
  /// Blocks of all rows.
  std::int64_t blocks() const { return rows * across(); }
  /// Bytes of the packed zero points of a row.
  std::int64_t zero_point_bytes(int bits) const { return (across() - 1) / (8 / bits) + 1; }
  /// The position of the first value of a block; the number of all values for blocks().
  std::int64_t first_value(std::int64_t block) const {
    return block / across() * columns + block % across() * block_size;
  }
};

/// Throws ExportError(shape): "<what> '<name>' float32[4, 2], expected <expected>".
[[noreturn]] void fail_operand(std::string_view what, const Weight& weight, std::string_view expected);

/// These throw ExportError(invalid_argument) if no kernel has such blocks, or such codes.
void check_block_size(std::int64_t block_size);
void check_parameters(const BlockParameters& parameters);

}  // namespace onnxport::detail
