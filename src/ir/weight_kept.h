/// Weights of quantized checkpoints as the operators of quantized layers read them, with the same codes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/weight_coded.h"
#include "ir/weight_packed.h"

namespace onnxport {

/// The codes of a matrix [N, K], or why no operator reads them.
struct KeptWeight {
  /// BlockCodes for integers, Bnb4Codes for the tables of NF4 and FP4.
  std::optional<Codes> codes = {};
  /// The column of the matrix that is column k of the codes (act-order); empty: k.
  std::vector<std::int64_t> order = {};
  /// Added to the values: float32 [N, G], one for each `group_size` columns; empty: none.
  Weight offsets = {};
  std::int64_t group_size = 0;
  std::string reason = {};  ///< without codes: "groups of 8 inputs"
};

/// Codes, scales and zero points of the description, with the names <name>_Q4, <name>_scales, … Integers of
/// another number of bits than 2, 4 or 8 take the next larger one. Scales become float32. Where a group is
/// larger than a block, or the matrix has fewer scales than rows, scales are repeated. The values are those
/// of affine(), with the columns in `order`. Reads all zero points.
KeptWeight keep_codes(const PackedWeight& packed, const std::string& name);

/// The same for rows that several weights make, one behind the other. Their codes must fit each other.
KeptWeight keep_codes(std::span<const std::shared_ptr<const PackedWeight>> parts, const std::string& name);

/// The descriptions of a weight [..., K], seen as a matrix: its own, or those of the weights whose rows it
/// has, one behind the other; none if one of them has no description.
std::vector<std::shared_ptr<const PackedWeight>> packed_parts_of(const Weight& weight);

}  // namespace onnxport
