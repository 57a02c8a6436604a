/// Comparison of all ranges of a weight with the bytes that it should have.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "counted_weight.h"
#include "support/parallel.h"

namespace onnxport::test {

template <class T>
std::vector<T> values_of(const Weight& weight) {
  std::vector<T> values(static_cast<std::size_t>(weight.numel()));
  EXPECT_EQ(size_of(weight.dtype()), sizeof(T));
  weight.read(0, weight.numel(), reinterpret_cast<std::byte*>(values.data()));
  return values;
}

/// Ranges anywhere, short and long, on several threads, into the middle of a buffer.
inline void expect_ranges(const Weight& weight, const Bytes& expected, const std::string& what) {
  ASSERT_EQ(read(weight), expected) << what;
  const auto size = static_cast<std::int64_t>(size_of(weight.dtype()));
  std::atomic<int> wrong = 0;
  parallel_for(
      60,
      [&](std::size_t index) {
        std::mt19937_64 random(index);
        const auto below = [&](std::int64_t end) {
          return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(end));
        };
        const std::int64_t begin = below(weight.numel()), rest = weight.numel() - begin;
        const std::int64_t count =
            1 + below(std::min(rest, std::array<std::int64_t, 3>{1, 100, rest}[index % 3]));
        const auto bytes = static_cast<std::size_t>(count * size);
        Bytes buffer(bytes + 2, std::byte{0xee});
        weight.read(begin, count, buffer.data() + 1);
        const bool same = std::memcmp(buffer.data() + 1, expected.data() + begin * size, bytes) == 0;
        if (!same || buffer.front() != std::byte{0xee} || buffer.back() != std::byte{0xee}) ++wrong;
      },
      4);
  EXPECT_EQ(wrong, 0) << what;
}

}  // namespace onnxport::test
