/// Arithmetic on row-major shapes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace onnxport {

/// Number of elements. Nothing if an extent is negative, or if the product of the nonzero extents does not
/// fit into 63 bits (so partial products never overflow, not even for empty shapes).
inline std::optional<std::int64_t> element_count(std::span<const std::int64_t> shape) {
  std::int64_t count = 1;
  bool empty = false;
  for (std::int64_t extent : shape) {
    if (extent < 0) return std::nullopt;
    if (extent == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(count, extent, &count)) {
      return std::nullopt;
    }
  }
  return empty ? 0 : count;
}

/// a / b, rounded up. For a >= 0 and b > 0; does not overflow.
inline std::int64_t divide_up(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

}  // namespace onnxport
