/// Arrays evaluated the plain way, and weights in files to compare with them.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/tensor.h"
#include "onnxport/weight.h"
#include "support/file.h"
#include "support/temp_folder.h"

namespace onnxport {

using Dims = std::vector<std::int64_t>;

/// An array evaluated the plain way: whole, element by element, by index.
struct Naive {
  DType dtype;
  Dims shape;
  std::vector<double> values;

  std::size_t offset(const Dims& index) const {
    std::int64_t result = 0;
    for (std::size_t i = 0; i < shape.size(); ++i) result = result * shape[i] + index[i];
    return static_cast<std::size_t>(result);
  }

  /// An array of this shape whose element at an index is fn(index).
  static Naive make(DType dtype, const Dims& shape, const std::function<double(const Dims&)>& fn) {
    Naive result{dtype, shape, {}};
    const std::int64_t numel =
        std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
    for (std::int64_t i = 0; i < numel; ++i) {
      Dims index(shape.size());
      std::int64_t rest = i;
      for (std::size_t axis = shape.size(); axis-- > 0; rest /= shape[axis]) index[axis] = rest % shape[axis];
      result.values.push_back(fn(index));
    }
    const Tensor rounded = Tensor::from_doubles(dtype, shape, result.values);
    result.values = rounded.to_doubles();
    return result;
  }

  Naive cast(DType to) const {
    return make(to, shape, [&](const Dims& i) { return values[offset(i)]; });
  }

  Naive permute(const Dims& axes) const {
    Dims to;
    for (const std::int64_t axis : axes) to.push_back(shape[static_cast<std::size_t>(axis)]);
    return make(dtype, to, [&](const Dims& index) {
      Dims from(index.size());
      std::size_t i = 0;
      for (const std::int64_t axis : axes) from[static_cast<std::size_t>(axis)] = index[i++];
      return values[offset(from)];
    });
  }

  Naive slice(std::size_t axis, std::int64_t begin, std::int64_t end) const {
    Dims to = shape;
    to[axis] = end - begin;
    return make(dtype, to, [&](Dims index) {
      index[axis] += begin;
      return values[offset(index)];
    });
  }

  Naive concat(const Naive& other, std::size_t axis) const {
    Dims to = shape;
    to[axis] += other.shape[axis];
    return make(dtype, to, [&](Dims index) {
      if (index[axis] < shape[axis]) return values[offset(index)];
      index[axis] -= shape[axis];
      return other.values[other.offset(index)];
    });
  }

  double broadcast(const Dims& index) const {
    Dims own(shape.size());
    const std::size_t shift = index.size() - shape.size();
    for (std::size_t i = 0; i < shape.size(); ++i) own[i] = shape[i] == 1 ? 0 : index[i + shift];
    return values[offset(own)];
  }

  Naive combine(const Naive& other, const std::function<double(double, double)>& fn) const {
    Dims to(std::max(shape.size(), other.shape.size()));
    for (std::size_t i = 1; i <= to.size(); ++i) {
      const std::int64_t a = i <= shape.size() ? shape[shape.size() - i] : 1;
      const std::int64_t b = i <= other.shape.size() ? other.shape[other.shape.size() - i] : 1;
      to[to.size() - i] = std::max(a, b);
    }
    return make(dtype, to, [&](const Dims& index) { return fn(broadcast(index), other.broadcast(index)); });
  }
};

class WeightTest : public ::testing::Test {
 protected:
  /// A tensor in a file, and the same values in memory. Values are small integers and halves, exact in all
  /// dtypes that take them.
  std::pair<Weight, Naive> stored(const std::string& key, DType dtype, const Dims& shape) {
    const double step = is_float(dtype) ? 0.5 : 1;
    const std::int64_t range = dtype == DType::boolean ? 2 : 97;
    Naive naive = Naive::make(dtype, shape, [&](const Dims&) {
      return step * static_cast<double>(random_() % static_cast<std::uint64_t>(range));
    });
    const Tensor tensor = Tensor::from_doubles(dtype, shape, naive.values);
    return {Weight(store(key, dtype, shape, tensor.data)), std::move(naive)};
  }

  TensorView store(const std::string& key, DType dtype, const Dims& shape,
                   const std::vector<std::byte>& bytes) {
    constexpr std::uint64_t kOffset = 13;
    const auto path = folder_.path() / fmt::format("{}.{}", key, count_++);
    std::ofstream out(path, std::ios::binary);
    out.write("             ", kOffset)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    out.close();
    return {.key = key, .dtype = dtype, .shape = shape, .file = File::open(path), .offset = kOffset};
  }

  /// Reads the weight whole, and in ranges that divide nothing, and compares.
  void expect_equal(const Weight& weight, const Naive& naive) {
    ASSERT_EQ(weight.dtype(), naive.dtype);
    ASSERT_EQ(weight.shape(), naive.shape) << weight.fingerprint();
    const std::vector<std::byte> expected = Tensor::from_doubles(naive.dtype, naive.shape, naive.values).data;
    ASSERT_EQ(weight.to_doubles(), naive.values) << weight.fingerprint();
    const auto size = static_cast<std::int64_t>(size_of(naive.dtype));
    const std::int64_t numel = weight.numel();
    for (const std::int64_t step : {numel, numel / 500 + 7, numel / 3 + 1}) {
      std::vector<std::byte> bytes(expected.size() + 1, std::byte{0xee});
      for (std::int64_t i = 0; i < numel; i += step) {
        weight.read(i, std::min(step, numel - i), bytes.data() + i * size);
      }
      ASSERT_EQ(bytes.back(), std::byte{0xee});
      bytes.pop_back();
      ASSERT_TRUE(bytes == expected) << weight.fingerprint() << " in steps of " << step;
    }
  }

  std::mt19937_64 random_{1};
  TempFolder folder_;
  int count_ = 0;
};

}  // namespace onnxport
