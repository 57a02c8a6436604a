/// Steps that put codes, scales and zero points of matrices in the places where another format has them.
#pragma once

#include <cstdint>
#include <vector>

#include "onnxport/weight.h"

namespace onnxport {

/// Which codes of a byte come first.
enum class CodeOrder { low_first, high_first };

/// Rows of packed codes. `codes`: uint8 [N, K], below 2^bits; `bits`: 2, 4 or 8; `width`: codes of a packed
/// row, at least K. The result is uint8 [N, ceil(width * bits / 8)]; what is behind the codes of a row is 0.
/// Throws ExportError(shape) for other operands.
Weight pack_rows(const Weight& codes, int bits, std::int64_t width, CodeOrder order = CodeOrder::low_first);

/// The columns of a matrix with these numbers, in this order: [rows, columns.size()]. A matrix with a single
/// row is repeated to `rows`; else `rows` is the number of its rows. Throws ExportError(shape) for other
/// shapes, and for columns out of range.
Weight take_columns(const Weight& matrix, std::int64_t rows, std::vector<std::int64_t> columns);

}  // namespace onnxport
