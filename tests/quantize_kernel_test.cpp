// The kernels that quantize floats, by hand and by properties. tests/onnxruntime_quantizer_test.cpp compares
// their bits with those of ONNX Runtime's package.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

#include "support/quantize_blocks.h"
#include "support/quantize_bnb4.h"
#include "support/quantize_tensor.h"

namespace onnxport::test {
namespace {

using Codes = std::vector<std::uint8_t>;
using Floats = std::vector<float>;

/// The codes of one row, one after the other, its scales and zero points.
struct Row {
  std::vector<int> codes;
  Floats scales;
  Codes zero_points;
};

Row quantize(const Floats& values, const BlockParameters& parameters) {
  const auto count = static_cast<std::int64_t>(values.size());
  const std::int64_t blocks = (count - 1) / parameters.block_size + 1;
  Codes packed(static_cast<std::size_t>(blocks * parameters.block_bytes()), 0xee);
  Row row;
  row.scales.resize(static_cast<std::size_t>(blocks));
  row.zero_points.resize(parameters.has_zero_points() ? static_cast<std::size_t>(blocks) : 0);
  quantize_blocks(values.data(), count, parameters,
                  {packed.data(), row.scales.data(), row.zero_points.data()});
  for (std::int64_t i = 0; i < blocks * parameters.block_size; ++i) {
    row.codes.push_back(get_code(packed.data(), parameters.bits, i));
  }
  return row;
}

Floats decode(const Row& row, const BlockParameters& parameters, std::size_t count) {
  Floats values;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t block = i / static_cast<std::size_t>(parameters.block_size);
    const int zero_point = row.zero_points.empty() ? parameters.half() : row.zero_points[block];
    values.push_back(static_cast<float>(row.codes[i] - zero_point) * row.scales[block]);
  }
  return values;
}

TEST(QuantizeKernel, SymmetricHasTheExtremeAtCode0) {
  Floats values(18, 0.0F);
  values[0] = 4;        // the extreme: scale -0.5
  values[1] = -3.875F;  // 15.75: no code

  values[2] = 0.25;  // 7.5: away from zero
  values[3] = 0.26F;
  values[16] = -1;  // a block of its own: scale 0.125
  values[17] = 0.125;
  const Row row = quantize(values, {.bits = 4, .block_size = 16, .symmetric = true});
  EXPECT_EQ(row.scales, (Floats{-0.5F, 0.125F}));
  std::vector<int> expected(32, 8);
  expected[0] = 0;
  expected[1] = 15;
  expected[2] = 8;
  expected[3] = 7;
  expected[16] = 0;
  expected[17] = 9;
  std::fill(expected.begin() + 18, expected.end(), 0);  // behind the last value
  EXPECT_EQ(row.codes, expected);
}

TEST(QuantizeKernel, AsymmetricReachesFromEndToEnd) {
  Floats values(16, 0.0F);
  values[0] = -1;
  values[1] = 2;
  values[2] = 0.5;
  const BlockParameters parameters{.bits = 2, .block_size = 16, .symmetric = false};
  const Row row = quantize(values, parameters);
  EXPECT_EQ(row.scales, Floats{1});
  EXPECT_EQ(row.zero_points, Codes{1});
  std::vector<int> expected(16, 1);
  expected[0] = 0;
  expected[1] = 3;
  expected[2] = 2;
  EXPECT_EQ(row.codes, expected);
}

// 0.5 less than a bit must not round up, as adding one half would.
TEST(QuantizeKernel, JustBelowHalfRoundsDown) {
  Floats values(16, std::nextafter(0.5F, 0.0F));
  values[0] = 15;
  const Row row = quantize(values, {.bits = 4, .block_size = 16, .symmetric = false});
  EXPECT_EQ(row.scales, Floats{1});
  EXPECT_EQ(row.codes[0], 15);
  EXPECT_EQ(row.codes[1], 0);
}

TEST(QuantizeKernel, ZerosStayZeros) {
  for (const bool symmetric : {true, false}) {
    for (const int bits : {2, 4, 8}) {
      const BlockParameters parameters{.bits = bits, .block_size = 32, .symmetric = symmetric};
      const Row row = quantize(Floats(40, 0.0F), parameters);
      EXPECT_EQ(decode(row, parameters, 40), Floats(40, 0.0F)) << bits << symmetric;
    }
  }
}

class RandomBlocks : public testing::TestWithParam<std::tuple<int, std::int64_t>> {
 protected:
  Floats random(std::size_t count) {
    std::normal_distribution<float> normal(0.01F, 0.1F);
    Floats values(count);
    for (float& value : values) value = normal(engine_);
    return values;
  }
  static double mean_square(const Floats& a, const Floats& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
      sum += difference * difference;
    }
    return sum / static_cast<double>(a.size());
  }

  std::mt19937_64 engine_{3};
};

// Half a step, but for the end of the range that lies opposite the extreme of a symmetric block.
TEST_P(RandomBlocks, ErrorsAreBelowAStep) {
  const auto [bits, size] = GetParam();
  const Floats values = random(1000);
  for (const bool symmetric : {true, false}) {
    const BlockParameters parameters{.bits = bits, .block_size = size, .symmetric = symmetric};
    const Row row = quantize(values, parameters);
    const Floats decoded = decode(row, parameters, values.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float step = std::fabs(row.scales[i / static_cast<std::size_t>(size)]);
      EXPECT_LE(std::fabs(decoded[i] - values[i]), step * (symmetric ? 1.001F : 0.501F)) << i;
    }
  }
}

// It minimizes a weighted error, before its minimum is rounded to a zero point, so the plain one may be
// larger.
TEST_P(RandomBlocks, TheSearchStaysCloseToTheValues) {
  const auto [bits, size] = GetParam();
  if (bits == 2) return;
  const Floats values = random(static_cast<std::size_t>(64 * size));
  const BlockParameters rtn{.bits = bits, .block_size = size, .symmetric = false};
  BlockParameters searched = rtn;
  searched.algorithm = BlockAlgorithm::k_quant;
  const double plain = mean_square(values, decode(quantize(values, rtn), rtn, values.size()));
  const double best = mean_square(values, decode(quantize(values, searched), searched, values.size()));
  EXPECT_LT(best, 1.2 * plain);
  EXPECT_GT(best, plain / 4);
}

INSTANTIATE_TEST_SUITE_P(All, RandomBlocks,
                         testing::Combine(testing::Values(2, 4, 8), testing::Values(16, 32, 64, 128, 256)));

TEST(QuantizeKernel, BothDecodersAgree) {
  Codes codes(16);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(37 * i + 11);
  for (const int bits : {2, 4, 8}) {
    std::array<float, 9> floats{};
    std::array<double, 9> doubles{};
    dequantize_block(codes.data(), bits, 0.1F, 3, 5, 9, floats.data());
    dequantize_block(codes.data(), bits, 0.1F, 3, 5, 9, doubles.data());
    for (std::int64_t i = 0; i < 9; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const int code =
          (codes[static_cast<std::size_t>((5 + i) * bits / 8)] >> ((5 + i) * bits % 8)) & ((1 << bits) - 1);
      EXPECT_EQ(doubles.at(at), (code - 3) * static_cast<double>(0.1F)) << bits << ' ' << i;
      EXPECT_EQ(floats.at(at), static_cast<float>(doubles.at(at))) << bits << ' ' << i;
    }
  }
}

TEST(QuantizeKernel, ZeroPointsArePackedLowBitsFirst) {
  const Codes zero_points = {1, 2, 3, 0, 1};
  std::array<std::uint8_t, 5> out{};
  pack_zero_points(zero_points.data(), 5, 2, out.data());
  EXPECT_EQ(out[0], 1 | 2 << 2 | 3 << 4);
  EXPECT_EQ(out[1], 1 | 2 << 2 | 2 << 4 | 2 << 6);
  pack_zero_points(zero_points.data(), 5, 4, out.data());
  EXPECT_EQ(out[1], 3);
  EXPECT_EQ(out[2], 1 | 8 << 4);
  pack_zero_points(zero_points.data(), 5, 8, out.data());
  EXPECT_EQ(out[4], 1);
}

TEST(QuantizeKernel, CountsWhatIsNotFinite) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const std::size_t size : {0U, 1U, 3U, 4U, 5U, 1001U}) {
    Floats values(size, std::numeric_limits<float>::max());
    const auto count = [&] { return count_non_finite(values.data(), static_cast<std::int64_t>(size)); };
    EXPECT_EQ(count(), 0);
    std::int64_t put = 0;
    for (std::size_t i = 0; i < size; i += 7) {
      values[i] = put % 3 == 0 ? kInfinity : put % 3 == 1 ? -kInfinity : std::nanf("");
      ++put;
    }
    EXPECT_EQ(count(), put) << size;
  }
}

// Each value of a table is its own code, whatever the largest magnitude is.
TEST(QuantizeKernel, FourBitFloatsDecodeToThemselves) {
  for (const Bnb4Type type : {Bnb4Type::fp4, Bnb4Type::nf4}) {
    Floats values;
    for (const float value : bnb4_values(type)) values.push_back(value * 8);
    Codes codes(8);
    Floats magnitudes(1), decoded(16);
    quantize_bnb4(values.data(), 16, type, 16, codes.data(), magnitudes.data());
    EXPECT_EQ(magnitudes[0], 8);
    dequantize_bnb4(codes.data(), 16, type, 16, magnitudes.data(), decoded.data());
    EXPECT_EQ(decoded, values);
    EXPECT_EQ(codes[0], 0x01);  // the high half is the first code
    EXPECT_EQ(codes[1], 0x23);
  }
}

TEST(QuantizeKernel, TensorsRoundToEven) {
  Floats values = {127, 0.5, 1.5, 2.5, -0.5, -1.5, -127};
  Codes codes(7);
  ValueRange range;
  extend_range(values.data(), 7, range);
  const LinearScale scale = choose_scale(range, {.dtype = DType::i8, .symmetric = true});
  EXPECT_EQ(scale.scale, 1);
  EXPECT_EQ(scale.zero_point, 0);
  encode_linear(values.data(), 7, scale, DType::i8, codes.data());
  std::vector<int> numbers;
  for (const std::uint8_t code : codes) numbers.push_back(static_cast<std::int8_t>(code));
  EXPECT_EQ(numbers, (std::vector<int>{127, 0, 2, 2, 0, -2, -127}));
}

TEST(QuantizeKernel, TensorsOfTinyRangeHaveScaleOne) {
  const LinearScale scale = choose_scale({0, 1e-38F}, {.dtype = DType::u8, .symmetric = false});
  EXPECT_EQ(scale.scale, 1);
  EXPECT_EQ(scale.zero_point, 0);
}

}  // namespace
}  // namespace onnxport::test
