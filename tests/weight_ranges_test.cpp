// Every transform of a weight, larger than the buffers of its steps, read in ranges that divide nothing, to
// addresses that are aligned to nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <tuple>

#include "naive_weight.h"
#include "support/convert.h"

namespace onnxport {
namespace {

class WeightRanges : public WeightTest {
 protected:
  /// Reads ranges anywhere, short and long, into the middle of a buffer, and the whole.
  void expect_ranges(const std::string& what, const Weight& weight, const Naive& naive) {
    ASSERT_EQ(weight.shape(), naive.shape) << what;
    ASSERT_EQ(weight.dtype(), naive.dtype) << what;
    const std::vector<std::byte> expected = Tensor::from_doubles(naive.dtype, naive.shape, naive.values).data;
    const auto size = static_cast<std::int64_t>(size_of(naive.dtype));
    const std::int64_t numel = weight.numel();
    std::vector<std::byte> buffer(expected.size() + 2);
    for (int i = 0; i < 60; ++i) {
      const std::int64_t begin = below(numel);
      const std::int64_t longest = std::array{numel - begin, std::int64_t{1}, std::int64_t{100}}[i % 3];
      const std::int64_t count = i == 0 ? numel : std::min(numel - begin, 1 + below(longest));
      const std::int64_t from = i == 0 ? 0 : begin;
      const auto bytes = static_cast<std::size_t>(count * size);
      std::ranges::fill(buffer, std::byte{0xee});
      weight.read(from, count, buffer.data() + 1);
      ASSERT_EQ(std::memcmp(buffer.data() + 1, expected.data() + from * size, bytes), 0)
          << what << ": elements [" << from << ", " << from + count << ") of " << weight.fingerprint();
      ASSERT_EQ(buffer[0], std::byte{0xee}) << what << " wrote before its place";
      ASSERT_EQ(buffer[bytes + 1], std::byte{0xee}) << what << " wrote behind its place";
    }
  }

  std::int64_t below(std::int64_t end) {
    return static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(end));
  }

  Naive mapped(const Naive& naive, double (*fn)(double)) {
    Naive result = naive;
    for (double& value : result.values) value = fn(value);
    result.values = Tensor::from_doubles(naive.dtype, naive.shape, result.values).to_doubles();
    return result;
  }
};

TEST_F(WeightRanges, OfEveryTransform) {
  // 478,484 bytes in float32, against buffers of 262,144; no extent has a divisor.
  const Dims shape = {37, 53, 61};
  for (const DType dtype : {DType::f32, DType::f16}) {
    const auto [w, n] = stored("w", dtype, shape);
    const auto [v, m] = stored("v", dtype, shape);
    expect_ranges("view", w, n);
    for (const DType to : {DType::f64, DType::f32, DType::bf16})
      expect_ranges("cast", w.cast(to), n.cast(to));
    for (const Dims& axes : {Dims{2, 1, 0}, Dims{1, 0, 2}, Dims{0, 2, 1}, Dims{1, 2, 0}}) {
      expect_ranges("permute", w.permute(axes), n.permute(axes));
    }
    for (std::size_t axis = 0; axis < 3; ++axis) {
      const auto at = static_cast<std::int64_t>(axis);
      expect_ranges("slice", w.slice(at, 3, 30), n.slice(axis, 3, 30));
      const std::vector<Weight> parts = {w, v.slice(at, 1, 8), v};
      expect_ranges("concat", Weight::concat(parts, at), n.concat(m.slice(axis, 1, 8), axis).concat(m, axis));
      const Weight row = v.slice(at, 5, 6);
      expect_ranges("broadcast", w.sub(row), n.combine(m.slice(axis, 5, 6), std::minus<>()));
    }
    expect_ranges("arithmetic", w.mul(v), n.combine(m, std::multiplies<>()));
    expect_ranges("sqrt", w.sqrt(), mapped(n, [](double x) { return std::sqrt(x); }));
    expect_ranges("cos", w.cos(), mapped(n, [](double x) { return std::cos(x); }));
    Dims rows;
    for (int i = 0; i < 40; ++i)
      rows.push_back(i % 3 == 0 ? below(37) : (rows.empty() ? 0 : (rows.back() + 1) % 37));
    const Naive taken = Naive::make(dtype, {40, 53, 61}, [&, &source = n](const Dims& i) {
      return source.values[source.offset({rows[static_cast<std::size_t>(i[0])], i[1], i[2]})];
    });
    expect_ranges("take", w.take(Weight::from_ints({40}, rows)), taken);
    if (HasFatalFailure()) return;
  }
}

TEST_F(WeightRanges, OfNorms) {
  const auto [w, n] = stored("w", DType::f32, {300, 401});
  Naive norms{DType::f32, {300, 1}, std::vector<double>(300)};
  for (std::size_t i = 0; i < n.values.size(); ++i) norms.values[i / 401] += n.values[i] * n.values[i];
  expect_ranges("norm", w.norm_except(0), mapped(norms, [](double x) { return std::sqrt(x); }));
}

}  // namespace
}  // namespace onnxport
