// Codes of quantized checkpoints in the places where operators read them: the values stay the same.
#include "ir/weight_kept.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "errors.h"
#include "exporter/quantization.h"
#include "ir/weight_repack.h"
#include "onnxport/config.h"
#include "stored_weights.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

using KeptWeights = StoredWeights;
using Codes8 = std::vector<std::uint8_t>;

template <class T>
std::vector<T> read_in_steps(const Weight& weight, std::int64_t step) {
  std::vector<T> values(static_cast<std::size_t>(weight.numel()));
  for (std::int64_t i = 0; i < weight.numel(); i += step) {
    weight.read(i, std::min(step, weight.numel() - i), reinterpret_cast<std::byte*>(values.data() + i));
  }
  return values;
}

TEST_F(KeptWeights, PacksRowsInAnyRange) {
  for (int round = 0; round < 300; ++round) {
    const int bits = 1 << (1 + below(3));
    const bool high = round % 2 == 0;
    const std::int64_t per_byte = 8 / bits, rows = 1 + below(7);
    const std::int64_t columns = round == 0 ? 300'000 : 1 + below(90);
    const std::int64_t width = columns + (round % 3 == 0 ? 0 : below(40));
    const std::int64_t bytes = (width + per_byte - 1) / per_byte;
    Codes8 codes(static_cast<std::size_t>(rows * columns)), expected(static_cast<std::size_t>(rows * bytes));
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      const auto code = static_cast<std::uint8_t>(below(std::int64_t{1} << bits));
      codes[static_cast<std::size_t>(i)] = code;
      const std::int64_t column = i % columns, inside = column % per_byte;
      const std::int64_t place = high ? per_byte - 1 - inside : inside;
      std::uint8_t& byte = expected[static_cast<std::size_t>(i / columns * bytes + column / per_byte)];
      byte = static_cast<std::uint8_t>(byte | code << (place * bits));
    }
    const Weight packed = pack_rows(stored(DType::u8, {rows, columns}, codes), bits, width,
                                    high ? CodeOrder::high_first : CodeOrder::low_first);
    ASSERT_EQ(packed.shape(), (Dims{rows, bytes}));
    EXPECT_EQ(read_in_steps<std::uint8_t>(packed, packed.numel()), expected) << round;
    EXPECT_EQ(read_in_steps<std::uint8_t>(packed, 1 + below(packed.numel())), expected) << round;
    if (HasFailure()) return;
  }
}

TEST_F(KeptWeights, TakesColumnsInAnyRange) {
  for (int round = 0; round < 200; ++round) {
    const bool repeats = round % 3 == 0;
    const std::int64_t rows = 1 + below(9), width = round == 0 ? 100'000 : 1 + below(50),
                       across = 1 + below(round % 2 == 0 ? 60 : 900);
    std::vector<float> values(static_cast<std::size_t>((repeats ? 1 : rows) * width));
    for (float& value : values) value = static_cast<float>(below(1000));
    Dims columns;
    for (std::int64_t i = 0; i < across; ++i) columns.push_back(below(width));
    std::vector<float> expected;
    for (std::int64_t row = 0; row < rows; ++row) {
      for (const std::int64_t column : columns)
        expected.push_back(values[static_cast<std::size_t>((repeats ? 0 : row * width) + column)]);
    }
    const Weight taken = take_columns(stored(DType::f32, {repeats ? 1 : rows, width}, values), rows, columns);
    ASSERT_EQ(taken.shape(), (Dims{rows, across}));
    EXPECT_EQ(read_in_steps<float>(taken, taken.numel()), expected) << round;
    EXPECT_EQ(read_in_steps<float>(taken, 1 + below(taken.numel())), expected) << round;
  }
}

TEST_F(KeptWeights, OtherOperandsAreRefused) {
  const Weight codes = stored(DType::u8, {2, 4}, Codes8(8));
  const auto refusal = [](const std::function<void()>& action) {
    return complaint(ErrorCode::shape, action);
  };
  EXPECT_EQ(refusal([&] { pack_rows(codes, 3, 4); }),
            "cannot pack rows of 4 codes of 3 bits from uint8[2, 4]");
  EXPECT_EQ(refusal([&] { pack_rows(codes, 4, 3); }),
            "cannot pack rows of 3 codes of 4 bits from uint8[2, 4]");
  EXPECT_EQ(refusal([&] { take_columns(codes, 3, {0}); }),
            "cannot take 1 columns of 3 rows from uint8[2, 4]");
  EXPECT_EQ(refusal([&] { take_columns(codes, 2, {4}); }),
            "cannot take 1 columns of 2 rows from uint8[2, 4]");
}

/// The values of kept codes equal those that the description means, column by column.
void expect_values(const PackedWeight& packed, const Weight& values, const KeptWeight& kept,
                   const std::string& what) {
  const Weight again = coded(*kept.codes);
  ASSERT_EQ(again.shape(), values.shape()) << what;
  const auto expected = read_in_steps<float>(values, values.numel());
  const auto got = read_in_steps<float>(again, 997);
  const std::int64_t columns = values.shape()[1];
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    const std::int64_t column =
        kept.order.empty() ? i % columns : kept.order[static_cast<std::size_t>(i % columns)];
    ASSERT_EQ(got[static_cast<std::size_t>(i)],
              expected[static_cast<std::size_t>(i / columns * columns + column)])
        << what << " at " << i;
  }
  EXPECT_EQ(kept.order, columns_by_group(packed)) << what;
}

TEST_F(KeptWeights, HaveTheSameValues) {
  std::map<int, int> bits_of_kept;
  std::map<std::int64_t, int> blocks;
  int ordered = 0, symmetric = 0;
  for (int round = 0; round < 300; ++round) {
    const int bits = 2 + static_cast<int>(below(7));
    const std::int64_t rows = 1 + below(9), size = std::int64_t{16} << below(6);
    const std::int64_t columns = 1 + below(600), groups = (columns - 1) / size + 1;
    PackedWeight packed{.bits = bits, .zero_point = static_cast<int>(below(1 << bits)), .group_size = size};
    if (round % 4 == 0) packed.zero_point = 1 << (bits - 1);
    Codes8 codes(static_cast<std::size_t>(rows * columns)), zeros(static_cast<std::size_t>(rows * groups));
    std::vector<float> scales(zeros.size());
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(below(1 << bits));
    for (std::uint8_t& zero : zeros) zero = static_cast<std::uint8_t>(below(1 << bits));
    for (float& scale : scales) scale = static_cast<float>(below(1000) - 500) * 0.001F;
    packed.codes = stored(DType::u8, {rows, columns}, codes);
    packed.scales = stored(DType::f32, {rows, groups}, scales);
    if (round % 2 == 1) packed.zero_points = stored(DType::u8, {rows, groups}, zeros);
    if (round % 5 == 0) {
      for (std::int64_t k = 0; k < columns; ++k) packed.group_of.push_back(k / size);
      // Only whole groups change their places; else the last one may not fill its blocks.
      std::shuffle(packed.group_of.begin(), packed.group_of.end(), random_);
    }
    const KeptWeight kept = keep_codes(packed, "w");
    ASSERT_TRUE(kept.codes) << kept.reason;
    expect_values(packed, affine(packed), kept, fmt::format("round {}", round));
    if (HasFailure()) return;
    const auto& made = std::get<BlockCodes>(*kept.codes);
    ++bits_of_kept[made.parameters.bits];
    ++blocks[made.parameters.block_size];
    if (!kept.order.empty()) ++ordered;
    if (!made.parts.zero_points) ++symmetric;
  }
  EXPECT_EQ(bits_of_kept.size(), 3U);
  EXPECT_EQ(blocks.size(), 5U);
  EXPECT_GT(ordered, 20);
  EXPECT_GT(symmetric, 10);
}

TEST_F(KeptWeights, OneScaleForAll) {
  PackedWeight packed{.codes = stored(DType::u8, {3, 40}, Codes8(120, 5)),
                      .scales = stored(DType::f32, {1, 1}, std::vector<float>{0.25F}),
                      .zero_point = 3,
                      .group_size = 40};
  const KeptWeight kept = keep_codes(packed, "w");
  ASSERT_TRUE(kept.codes);
  expect_values(packed, affine(packed), kept, "one scale");
  EXPECT_EQ(std::get<BlockCodes>(*kept.codes).parameters.block_size, 16);
}

TEST_F(KeptWeights, ZeroPointsInTheMiddleAreLeftOut) {
  PackedWeight packed{.codes = stored(DType::u8, {2, 32}, Codes8(64, 1)),
                      .scales = stored(DType::f16, {2, 2}, std::vector<std::uint16_t>(4, 0x3C00)),
                      .zero_points = stored(DType::u8, {2, 2}, Codes8(4, 8)),
                      .group_size = 16};
  EXPECT_FALSE(std::get<BlockCodes>(*keep_codes(packed, "w").codes).parts.zero_points);
  packed.zero_points = stored(DType::u8, {2, 2}, Codes8{8, 8, 8, 9});
  const KeptWeight kept = keep_codes(packed, "w");
  const auto& made = std::get<BlockCodes>(*kept.codes);
  EXPECT_EQ(read_in_steps<std::uint8_t>(made.parts.zero_points, 1), (Codes8{0x88, 0x98}));
  EXPECT_EQ(made.parts.codes.name(), "w_Q4");
  EXPECT_EQ(made.parts.scales.name(), "w_scales");
  EXPECT_EQ(made.parts.zero_points.name(), "w_zero_points");
}

TEST_F(KeptWeights, WhatNoOperatorReads) {
  PackedWeight packed{.codes = stored(DType::u8, {1, 48}, Codes8(48)),
                      .scales = stored(DType::f32, {1, 2}, std::vector<float>(2)),
                      .zero_point = 8,
                      .group_size = 24};
  EXPECT_EQ(keep_codes(packed, "w").reason, "groups of 24 inputs");
  packed.group_size = 32;
  packed.group_of.assign(48, 0);
  packed.group_of[0] = 1;  // 47 inputs, and one
  EXPECT_EQ(keep_codes(packed, "w").reason, "groups of inputs that do not fill blocks of 16 or more");
  packed.group_of.clear();
  packed.zero_point = 16;
  EXPECT_EQ(keep_codes(packed, "w").reason, "a zero point of 16");
  packed.table = stored(DType::f32, {16}, std::vector<float>(16));
  EXPECT_EQ(keep_codes(packed, "w").reason, "a table of values that is neither NF4 nor FP4");
  packed.group_size = 512;
  EXPECT_EQ(keep_codes(packed, "w").reason, "blocks of 512 values");
}

/// The tensors of the libraries. Counts what is kept and what is not.
TEST(KeptCheckpoints, HaveTheirValues) {
  std::map<std::string, int> kept_of, lost_of;
  for (const auto& entry : fs::directory_iterator(fs::path(source_dir()) / "tests" / "quantized")) {
    if (!entry.is_directory()) continue;
    const std::string name = entry.path().filename().string();
    const auto config = PretrainedConfig::from_pretrained(entry.path());
    const auto checkpoint = Checkpoint::open(entry.path() / "model.safetensors", read_quantization(config));
    for (const TensorView& view : checkpoint->tensors()) {
      const Weight weight = checkpoint->weight(view);
      const auto packed = packed_of(weight);
      if (!packed) continue;
      const KeptWeight kept = keep_codes(*packed, view.key);
      if (!kept.codes) {
        ++lost_of[kept.reason];
        continue;
      }
      ++kept_of[name];
      if (packed->table) {  // rounded to the dtype of the checkpoint afterwards
        const auto rounded = coded(*kept.codes).reshape(weight.shape()).cast(weight.dtype());
        EXPECT_EQ(rounded.to_doubles(), weight.to_doubles()) << name << " " << view.key;
      } else {
        expect_values(*packed, affine(*packed), kept, name + " " + view.key);
      }
    }
  }
  // All that are described: see PackedDescription.GivesTheValuesAgain.
  EXPECT_EQ(kept_of, (std::map<std::string, int>{{"awq_gemm", 2},
                                                 {"awq_gemv", 2},
                                                 {"bitsandbytes_4bit", 4},
                                                 {"bitsandbytes_8bit", 2},
                                                 {"compressed_int8", 4},
                                                 {"compressed_order", 2},
                                                 {"compressed_pack", 5},
                                                 {"gptq_2bit", 2},
                                                 {"gptq_3bit", 2},
                                                 {"gptq_3bit_v2_order", 2},
                                                 {"gptq_4bit", 2},
                                                 {"gptq_4bit_v2", 2},
                                                 {"gptq_8bit", 2},
                                                 {"gptq_borrow", 1},
                                                 {"gptq_dynamic", 2},
                                                 {"gptq_order", 2},
                                                 {"gptq_whole", 2}}));
  EXPECT_EQ(lost_of, (std::map<std::string, int>{}));
}

}  // namespace
}  // namespace onnxport::test
