/// A weight of any size that counts how often it is read.
#pragma once

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ir/weight_expr.h"
#include "onnxport/weight.h"

namespace onnxport::test {

using Bytes = std::vector<std::byte>;
using Dims = std::vector<std::int64_t>;

/// Values that differ everywhere, and a count of those that were read.
class CountedSource final : public detail::Source {
 public:
  explicit CountedSource(std::string text) : Source(DType::f32, std::move(text), 0) {}

  void read(std::int64_t begin, std::int64_t count, std::byte* out) const override {
    for (std::int64_t i = begin; i < begin + count; ++i, out += sizeof(float)) {
      const float value = value_at(i);
      std::memcpy(out, &value, sizeof value);
    }
    read_ += count;
  }

  float value_at(std::int64_t i) const {
    if (i == broken) return std::nanf("");
    const auto mixed = static_cast<std::uint64_t>(i) * 0x9e3779b97f4a7c15U;
    return (static_cast<float>(mixed >> 40) - 8388608.0F) * 0x1p-24F;
  }

  std::int64_t taken() const { return read_.exchange(0); }

  std::int64_t broken = -1;  ///< the position of a NaN

 private:
  mutable std::atomic<std::int64_t> read_ = 0;
};

struct Counted {
  std::shared_ptr<CountedSource> source;
  Weight weight;
};

inline Counted counted(Dims shape, const std::string& name = "w") {
  auto source = std::make_shared<CountedSource>(name);
  return {source, detail::WeightExpr::wrap({.source = source, .shape = std::move(shape), .name = name})};
}

inline Bytes read(const Weight& weight, std::int64_t begin, std::int64_t count) {
  Bytes bytes(static_cast<std::size_t>(count) * size_of(weight.dtype()));
  weight.read(begin, count, bytes.data());
  return bytes;
}
inline Bytes read(const Weight& weight) { return read(weight, 0, weight.numel()); }

}  // namespace onnxport::test
