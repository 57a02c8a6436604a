/// Weights that are stored as small integers, packed into words, with scales and zero points of groups or
/// with a table of values: their elements, tile by tile, and their parts.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "onnxport/weight.h"

namespace onnxport {

/// How codes are packed. Rows are streams of bits, the lowest bits of the lowest byte first. Eight codes take
/// `bits` bytes.
struct Packing {
  int bits = 4;  ///< of a code: 1 to 8
  /// Where each of eight successive codes is among the eight that its bytes hold.
  std::array<std::uint8_t, 8> places = {0, 1, 2, 3, 4, 5, 6, 7};
  std::uint8_t increment = 0;  ///< added to each code, modulo 2^bits
};

/// The first `columns` codes of each row. `words` [..., W]: integers, whose bytes (little-endian) are the
/// rows. The result is uint8 [..., columns], one code in each element. Throws ExportError(shape) for rows
/// that are too short, and for floats.
Weight unpack(const Weight& words, const Packing& packing, std::int64_t columns);

/// The values of codes. `codes`: uint8; `table`: a float32 constant [2^bits], where codes are below 2^bits.
/// The result is float32 of the shape of `codes`. Throws ExportError(shape) for other operands.
Weight look_up(const Weight& codes, const Weight& table);

/// A matrix [N, K] of codes, and the parts of their values:
///
/// - without a table: (codes[n, k] - zero point[n, g]) * scales[n, g], where g is the group of column k;
///   With `offsets`, the offset of [n, g] is added.
/// - with a table: table[codes[n, k]] * scales[b], where b is the block of the element n * K + k.
///
/// How the original rounds these products does not show here. The weight itself has its rounding.
struct PackedWeight {
  Weight codes;                 ///< uint8 [N, K], one code in each element
  int bits = 4;                 ///< codes are below 2^bits
  Weight scales;                ///< floats [N, G], or [1, 1] for all; with a table [blocks]
  Weight zero_points;           ///< uint8 [N, G]; empty: `zero_point` everywhere
  int zero_point = 0;           ///< where there are no `zero_points`
  Weight offsets;               ///< floats [N, G]; empty: none
  Weight table;                 ///< float32 [2^bits]; empty: codes are integers
  std::int64_t group_size = 0;  ///< columns of a group (the last may have fewer), or elements of a block
  /// The group of each column (act-order); empty: k / group_size.
  std::vector<std::int64_t> group_of = {};
};

/// The values of a matrix without a table, float32 [N, K]. Differences are exact; products are rounded once,
/// to float32. All NaNs become the same one. Scales are cast to float32. Throws ExportError(shape) for
/// shapes, dtypes and groups that do not fit, and for offsets.
Weight affine(const PackedWeight& packed);

/// `values` with a description of their parts. It does not change them, nor their fingerprint.
Weight described(const Weight& values, PackedWeight packed);

/// The description, if this weight is a described one in its own shape, perhaps cast, or turned twice; else
/// null.
std::shared_ptr<const PackedWeight> packed_of(const Weight& weight);

/// The rows with these numbers, in this order. `rows`: integers [n]. For matrices without a table.
PackedWeight take_rows(PackedWeight packed, const Weight& rows);

/// The columns sorted by their groups, those of a group in order: a permutation of [0, K). Empty if columns
/// are in this order anyway.
std::vector<std::int64_t> columns_by_group(const PackedWeight& packed);

}  // namespace onnxport
