/// Arithmetic on row-major shapes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace onnxport {

/// Number of elements, or nothing when an extent is negative or the product of those that are not zero does
/// not fit 63 bits (so that partial products never overflow, of empty shapes either).
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

}  // namespace onnxport
