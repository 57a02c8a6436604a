/// Comparison of the tensors of two files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/weight.h"

namespace onnxport::measure {

/// 128 bits that depend on the elements of a tensor and not on their order.
std::string unordered_hash(const Weight& weight);

/// The largest |difference| of two tensors of the same shape; 0 if the elements are the same, infinite if
/// only one of two values is finite. Reads them in tiles.
double largest_difference(const Weight& a, const Weight& b);

/// The axes that make `a`, permuted, the same as `b`; nothing if none do. Identity first.
std::optional<std::vector<std::int64_t>> same_by_permutation(const Weight& a, const Weight& b);

}  // namespace onnxport::measure
