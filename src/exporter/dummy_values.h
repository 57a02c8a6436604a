/// Values of dummy tensors.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/tensor.h"

namespace onnxport::exporter {

/// splitmix64: the same numbers with every standard library.
class Random {
 public:
  /// A separate stream for every (seed, name).
  Random(std::uint64_t seed, std::string_view name) : state_(seed * step) {
    std::uint64_t hash = 0xCBF29CE484222325;  // fnv-1a
    for (const unsigned char c : name) hash = (hash ^ c) * 0x100000001B3;
    state_ ^= hash;
  }
  /// In [0, bound).
  std::int64_t below(std::int64_t bound) {
    std::uint64_t x = state_ += step;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    x ^= x >> 31;
    return static_cast<std::int64_t>(x % static_cast<std::uint64_t>(bound));
  }

 private:
  static constexpr std::uint64_t step = 0x9E3779B97F4A7C15;
  std::uint64_t state_;
};

/// Number of elements. Throws ExportError(invalid_argument) for a shape with too many elements.
std::int64_t checked_count(std::string_view name, const std::vector<std::int64_t>& shape);

/// The numbers of a static shape.
std::vector<std::int64_t> extents(const TensorType& type);

/// A tensor whose element i is `value(i)`.
Tensor from_ints(std::string_view name, const TensorType& type,
                 const std::function<std::int64_t(std::int64_t)>& value);
Tensor ones(std::string_view name, const TensorType& type);

}  // namespace onnxport::exporter
