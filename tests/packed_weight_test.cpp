// Packed integers: any number of bits in any ranges, and the description of a quantized weight, which must
// give its values again.
#include "ir/weight_packed.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "errors.h"
#include "exporter/quantization.h"
#include "ir/weight_remaining.h"
#include "onnxport/config.h"
#include "onnxport/tensor.h"
#include "raw_tensors.h"
#include "stored_weights.h"
#include "support/file.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

using PackedCodes = StoredWeights;

template <class T>
std::vector<T> read_in_steps(const Weight& weight, std::int64_t step) {
  std::vector<T> values(static_cast<std::size_t>(weight.numel()));
  for (std::int64_t i = 0; i < weight.numel(); i += step) {
    weight.read(i, std::min(step, weight.numel() - i), reinterpret_cast<std::byte*>(values.data() + i));
  }
  return values;
}

TEST_F(PackedCodes, AnyBitsInAnyRange) {
  for (int round = 0; round < 400; ++round) {
    Packing packing{.bits = 1 + static_cast<int>(below(8)),
                    .increment = static_cast<std::uint8_t>(below(256))};
    if (round % 3 == 0) std::shuffle(packing.places.begin(), packing.places.end(), random_);
    const std::int64_t rows = 1 + below(9), words = 1 + below(40);
    std::int64_t columns = words * 32 / packing.bits;
    if (round % 3 == 0) columns = columns / 8 * 8;
    if (round % 2 == 0) columns = std::max<std::int64_t>(1, columns - below(8));
    if (round % 6 == 0) columns = std::max<std::int64_t>(1, columns / 8 * 8);
    if (round % 3 == 0 && columns < 8) continue;  // places need all eight
    std::vector<std::uint32_t> data(static_cast<std::size_t>(rows * words));
    for (std::uint32_t& word : data) word = static_cast<std::uint32_t>(random_());
    std::vector<std::uint8_t> expected;
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = 0; column < columns; ++column) {
        const std::int64_t place = column / 8 * 8 + packing.places.at(static_cast<std::size_t>(column % 8));
        unsigned code = 0;
        for (int bit = 0; bit < packing.bits; ++bit) {
          const std::int64_t at = place * packing.bits + bit;
          const std::uint32_t word =
              at / 32 < words ? data.at(static_cast<std::size_t>(row * words + at / 32)) : 0;
          code |= (word >> (at % 32) & 1U) << bit;
        }
        expected.push_back(
            static_cast<std::uint8_t>((code + packing.increment) & ((1U << packing.bits) - 1)));
      }
    }
    const Weight weight = unpack(stored(DType::i32, {rows, words}, data), packing, columns);
    ASSERT_EQ(weight.shape(), (Dims{rows, columns}));
    EXPECT_EQ(read_in_steps<std::uint8_t>(weight, weight.numel()), expected) << round;
    EXPECT_EQ(read_in_steps<std::uint8_t>(weight, 1 + below(weight.numel())), expected) << round;
    if (HasFailure()) return;
  }
}

TEST_F(PackedCodes, LargerThanTheBuffers) {
  // Rows and groups that no tile divides; the last group is not full.
  constexpr std::int64_t kRows = 70, kColumns = 8008, kGroup = 96, kGroups = (kColumns + kGroup - 1) / kGroup;
  std::vector<std::uint32_t> words(static_cast<std::size_t>(kRows * kColumns / 8));
  for (std::uint32_t& word : words) word = static_cast<std::uint32_t>(random_());
  std::vector<float> scales(static_cast<std::size_t>(kRows * kGroups));
  std::vector<std::uint8_t> zeros(scales.size());
  for (float& scale : scales) scale = static_cast<float>(below(1000) - 500) * 0.001F;
  for (std::uint8_t& zero : zeros) zero = static_cast<std::uint8_t>(below(16));
  scales[5] = std::numeric_limits<float>::infinity();
  PackedWeight packed{.codes = unpack(stored(DType::i32, {kRows, kColumns / 8}, words), {}, kColumns),
                      .scales = stored(DType::f32, {kRows, kGroups}, scales),
                      .zero_points = stored(DType::u8, {kRows, kGroups}, zeros),
                      .group_size = kGroup};
  for (const bool any_order : {false, true}) {
    Dims group(kColumns);
    for (std::int64_t k = 0; k < kColumns; ++k) group[static_cast<std::size_t>(k)] = k / kGroup;
    if (any_order) {
      std::shuffle(group.begin(), group.end(), random_);
      packed.group_of = group;
    }
    std::vector<float> expected;
    for (std::int64_t i = 0; i < kRows * kColumns; ++i) {
      const auto g =
          static_cast<std::size_t>(i / kColumns * kGroups + group.at(static_cast<std::size_t>(i % kColumns)));
      const auto code = static_cast<int>(words.at(static_cast<std::size_t>(i / 8)) >> (i % 8 * 4) & 15U);
      expected.push_back(static_cast<float>(code - zeros[g]) * scales[g]);
    }
    const Weight weight = affine(packed);
    for (const std::int64_t step : {kRows * kColumns, std::int64_t{100003}, std::int64_t{777}}) {
      const std::vector<float> got = read_in_steps<float>(weight, step);
      for (std::size_t i = 0; i < got.size(); ++i) {
        ASSERT_TRUE(got[i] == expected[i] || (std::isnan(got[i]) && std::isnan(expected[i]))) << i;
      }
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------

/// The values that a description means, as float32.
std::vector<float> meaning(const PackedWeight& packed) {
  const std::int64_t columns = packed.codes.shape().back();
  const auto codes = read_in_steps<std::uint8_t>(packed.codes, packed.codes.numel());
  const std::vector<double> scales = packed.scales.to_doubles();
  const Dims zeros = packed.zero_points ? packed.zero_points.to_ints() : Dims();
  const std::vector<double> table = packed.table ? packed.table.to_doubles() : std::vector<double>();
  std::vector<float> values;
  for (std::size_t i = 0; i < codes.size(); ++i) {
    EXPECT_LT(codes[i], 1 << packed.bits);
    const auto at = static_cast<std::int64_t>(i), column = at % columns;
    if (!table.empty()) {
      values.push_back(
          static_cast<float>(table[codes[i]] * scales.at(static_cast<std::size_t>(at / packed.group_size))));
      continue;
    }
    const std::int64_t group = packed.group_of.empty() ? column / packed.group_size
                                                       : packed.group_of.at(static_cast<std::size_t>(column));
    const Dims& shape = packed.scales.shape();
    const auto g = static_cast<std::size_t>(shape[0] == 1 ? group : at / columns * shape[1] + group);
    const auto zero = zeros.empty() ? packed.zero_point : zeros.at(g);
    values.push_back(static_cast<float>(static_cast<double>(codes[i] - zero) * scales.at(g)));
  }
  return values;
}

TEST(PackedDescription, GivesTheValuesAgain) {
  std::map<std::string, int> described;
  for (const auto& entry : fs::directory_iterator(fs::path(source_dir()) / "tests" / "quantized")) {
    if (!entry.is_directory()) continue;
    const std::string name = entry.path().filename().string();
    const auto config = PretrainedConfig::from_pretrained(entry.path());
    const auto checkpoint = Checkpoint::open(entry.path() / "model.safetensors", read_quantization(config));
    for (const TensorView& view : checkpoint->tensors()) {
      const Weight weight = checkpoint->weight(view);
      const auto packed = packed_of(weight);
      if (!packed) continue;
      ++described[name.substr(0, name.find('_'))];
      EXPECT_EQ(packed->codes.shape(), weight.shape());
      EXPECT_EQ(packed_of(weight.cast(DType::f64).named("other").cast(DType::f32)), packed);
      const Weight turned = weight.permute({1, 0}).named("turned");
      EXPECT_EQ(packed_of(turned), nullptr);
      EXPECT_EQ(packed_of(turned.cast(DType::f64).permute({1, 0})), packed);
      const auto& shape = weight.shape();
      if (shape[0] != shape[1])
        EXPECT_EQ(packed_of(turned.reshape(shape).permute({1, 0}).reshape(shape)), nullptr);
      EXPECT_EQ(packed_of(weight.reshape({1, weight.numel()})), nullptr);
      EXPECT_EQ(packed_of(weight.slice(0, 0, 1)), nullptr);
      const std::vector<float> meant = meaning(*packed);
      const Weight again = Weight::constant(DType::f32, weight.shape(), bytes_of(meant)).cast(weight.dtype());
      const std::vector<double> a = weight.to_doubles(), b = again.to_doubles();
      for (std::size_t i = 0; i < a.size(); ++i) {
        // 8 bits of bitsandbytes are rounded twice.
        const double tolerance = name == "bitsandbytes_8bit" ? std::abs(b[i]) * 0x1p-22 : 0;
        ASSERT_LE(std::abs(a[i] - b[i]), tolerance) << name << " " << view.key << " at " << i;
      }
    }
  }
  // gptq: 7 methods with 2, whole 2, dynamic 2, borrow 1; one weight of compressed-tensors in 8-bit floats
  // has none.
  EXPECT_EQ(described,
            (std::map<std::string, int>{{"awq", 4}, {"bitsandbytes", 6}, {"compressed", 11}, {"gptq", 19}}));
}

TEST(PackedDescription, OrderOfColumns) {
  PackedWeight packed{.group_size = 2};
  EXPECT_EQ(columns_by_group(packed), Dims());
  packed.group_of = {0, 0, 1, 1};
  EXPECT_EQ(columns_by_group(packed), Dims());
  packed.group_of = {1, 0, 1, 0, 2};
  EXPECT_EQ(columns_by_group(packed), (Dims{1, 3, 0, 2, 4}));
}

// Scales of a row that two readers share are read twice. Panels of transposed scales must end all the same.
TEST(Remaining, CountsNoElementTwice) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 300; ++round) {
    const auto size = static_cast<std::int64_t>(1 + random() % 60);
    detail::Remaining remaining(size);
    std::vector<bool> taken(static_cast<std::size_t>(size), false);
    for (int i = 0; i < 40; ++i) {
      std::int64_t begin = static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(size));
      const std::int64_t end = std::min(size, begin + 1 + static_cast<std::int64_t>(random() % 9));
      remaining.take(begin, end);
      for (; begin < end; ++begin) taken[static_cast<std::size_t>(begin)] = true;
      ASSERT_EQ(remaining.count(), std::count(taken.begin(), taken.end(), false));
    }
  }
}

TEST_F(PackedCodes, OperandsThatDoNotFit) {
  const Weight words = stored(DType::i32, {2, 3}, std::vector<std::int32_t>(6));
  EXPECT_EQ(error_of([&] { unpack(words, {.bits = 5}, 20); }, ErrorCode::shape),
            "cannot unpack 20 columns of 5 bits from int32[2, 3]");
  EXPECT_EQ(error_of([&] { unpack(words.cast(DType::f32), {}, 1); }, ErrorCode::shape),
            "cannot unpack 1 columns of 4 bits from float32[2, 3]");
  PackedWeight packed{.codes = unpack(words, {}, 24),
                      .scales = stored(DType::f16, {2, 3}, std::vector<std::int16_t>(6)),
                      .group_size = 8};
  EXPECT_EQ(affine(packed).shape(), (Dims{2, 24}));
  const auto refused = [&](const auto& change) {
    PackedWeight changed = packed;
    change(changed);
    return error_of([&] { affine(changed); }, ErrorCode::shape);
  };
  EXPECT_EQ(refused([](PackedWeight& p) { p.group_size = 7; }),
            "24 columns in groups of 7 do not fit 3 scales in each row");
  EXPECT_EQ(refused([](PackedWeight& p) { p.group_of = Dims(24, 3); }),
            "24 columns in groups of 8 do not fit 3 scales in each row");
  EXPECT_EQ(refused([](PackedWeight& p) { p.group_of = Dims(23, 0); }),
            "24 columns in groups of 8 do not fit 3 scales in each row");
  EXPECT_EQ(refused([&](PackedWeight& p) { p.scales = words; }),
            "scales are int32[2, 3], expected floats [2, groups]");
  EXPECT_EQ(refused([](PackedWeight& p) { p.zero_points = p.codes; }),
            "zero points are uint8[2, 24], expected uint8[2, 3]");
  EXPECT_EQ(error_of([&] { look_up(packed.codes, packed.scales); }, ErrorCode::shape),
            "cannot look up uint8[2, 24] in float16[2, 3], expected uint8 and float32 [at most 256]");
}

}  // namespace
}  // namespace onnxport::test
