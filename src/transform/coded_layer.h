/// Layers and tables whose weight has the values of codes, perhaps plus an offset for each group of columns.
#pragma once

#include <cstdint>

#include "onnxport/graph.h"

namespace onnxport::transform {

/// The operands beside the codes [N, K].
struct CodedLayer {
  Value x = {};        ///< floats [..., K] of a layer, indices of a table
  Value bias = {};     ///< of a layer; absent: none
  Value offsets = {};  ///< [N, K / group_size], added to the values of a group; absent: none
  std::int64_t group_size = 0;
};

/// The layer: offsets multiply the sums of the inputs of their groups.
Value product(const CodedLayer& layer, const Value& codes);

/// The rows of a table with the indices `x`.
Value rows(const CodedLayer& table, const Value& codes);

}  // namespace onnxport::transform
