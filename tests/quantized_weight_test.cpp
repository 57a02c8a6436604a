// Quantized weights as lazy expressions: any range, any order, any thread, and one scan of the values.
#include "ir/weight_quantized.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "counted_weight.h"
#include "weight_ranges.h"

namespace onnxport::test {
namespace {

struct BlockCase {
  std::int64_t rows, columns;
  BlockParameters parameters;
};

std::vector<BlockCase> block_cases() {
  std::vector<BlockCase> cases;
  // More than two tiles of 65536 values; rows that are shorter and longer than one, and do not fit blocks.
  for (const auto& [rows, columns] :
       {std::pair<std::int64_t, std::int64_t>{1701, 96}, {1283, 117}, {2, 70003}}) {
    for (const int bits : {2, 4, 8}) {
      for (const bool symmetric : {true, false}) {
        cases.push_back(
            {rows, columns, {.bits = bits, .block_size = bits == 8 ? 16 : 32, .symmetric = symmetric}});
      }
    }
  }
  cases.push_back({803, 117, {.bits = 4, .algorithm = BlockAlgorithm::k_quant}});
  cases.push_back({603, 31, {.bits = 8, .algorithm = BlockAlgorithm::k_quant}});
  return cases;
}

// Every row quantized by itself.
TEST(QuantizedWeight, RangesOfBlocksEqualTheKernel) {
  for (const auto& [rows, columns, parameters] : block_cases()) {
    const auto [source, weight] = counted({rows, columns});
    const std::string what = std::to_string(columns) + ", " + std::to_string(parameters.bits) + " bits";
    const auto across = static_cast<std::size_t>((columns - 1) / parameters.block_size + 1);
    const std::size_t row_bytes = across * static_cast<std::size_t>(parameters.block_bytes());
    const std::size_t zero_bytes = (across * static_cast<std::size_t>(parameters.bits) + 7) / 8;
    const auto count = static_cast<std::size_t>(rows);
    Bytes codes(count * row_bytes), scales(count * across * sizeof(float)), zero_points(count * zero_bytes);
    std::vector<float> row(static_cast<std::size_t>(columns)), row_scales(across);
    std::vector<std::uint8_t> row_zeros(across);
    for (std::size_t r = 0; r < count; ++r) {
      for (std::size_t i = 0; i < row.size(); ++i) {
        row[i] = source->value_at(static_cast<std::int64_t>(r * row.size() + i));
      }
      quantize_blocks(row.data(), columns, parameters,
                      {reinterpret_cast<std::uint8_t*>(codes.data() + r * row_bytes), row_scales.data(),
                       row_zeros.data()},
                      across == 1 ? SumOrder::sequential : SumOrder::pairwise);
      std::memcpy(scales.data() + r * across * sizeof(float), row_scales.data(), across * sizeof(float));
      pack_zero_points(row_zeros.data(), static_cast<std::int64_t>(across), parameters.bits,
                       reinterpret_cast<std::uint8_t*>(zero_points.data() + r * zero_bytes));
    }
    const QuantizedBlocks made = quantize_blocks(weight, parameters);
    expect_ranges(made.scales, scales, what + ", scales");
    expect_ranges(made.codes, codes, what + ", codes");
    ASSERT_EQ(static_cast<bool>(made.zero_points), parameters.has_zero_points()) << what;
    if (made.zero_points) expect_ranges(made.zero_points, zero_points, what + ", zero points");
  }
}

TEST(QuantizedWeight, DequantizedBlocksEqualTheFormula) {
  for (const auto& [rows, columns, parameters] : block_cases()) {
    const auto [source, weight] = counted({rows, columns});
    const QuantizedBlocks made = quantize_blocks(weight, parameters);
    const auto codes = values_of<std::uint8_t>(made.codes);
    const auto scales = values_of<float>(made.scales);
    const auto zeros =
        made.zero_points ? values_of<std::uint8_t>(made.zero_points) : std::vector<std::uint8_t>{};
    const auto across = made.scales.shape()[1];
    std::vector<float> expected;
    for (std::int64_t i = 0; i < rows * columns; ++i) {
      const std::int64_t row = i / columns, block = i % columns / parameters.block_size;
      const std::int64_t index = row * across + block;
      const int code = get_code(codes.data() + index * parameters.block_bytes(), parameters.bits,
                                i % columns % parameters.block_size);
      const int zero =
          zeros.empty() ? 1 << (parameters.bits - 1)
                        : get_code(zeros.data() + row * made.zero_points.shape()[1], parameters.bits, block);
      expected.push_back(static_cast<float>(code - zero) * scales[static_cast<std::size_t>(index)]);
    }
    const auto bytes = std::as_bytes(std::span(expected));
    const Weight decoded = dequantize_blocks(made, parameters, columns);
    EXPECT_EQ(decoded.shape(), (Dims{rows, columns}));
    expect_ranges(decoded, Bytes(bytes.begin(), bytes.end()), std::to_string(parameters.bits) + " bits");
  }
}

// As the writer reads: codes, scales and zero points of some rows, then of the next ones.
TEST(QuantizedWeight, OneScanServesCodesScalesAndZeroPoints) {
  for (const int bits : {2, 4, 8}) {
    const auto [source, weight] = counted({3000, 1024});
    const QuantizedBlocks made = quantize_blocks(weight, {.bits = bits, .symmetric = false});
    constexpr std::int64_t kRows = 1000;
    for (std::int64_t row = 0; row < 3000; row += kRows) {
      for (const Weight& part : {made.codes, made.scales, made.zero_points}) {
        const std::int64_t width = part.numel() / 3000;
        read(part, row * width, kRows * width);
      }
    }
    const std::int64_t taken = source->taken();
    EXPECT_EQ(taken, 3000 * 1024) << bits;
  }
}

// A tile that is kept belongs to its weight, not to the place where that weight was.
TEST(QuantizedWeight, TilesAreNotTakenForThoseOfOthers) {
  Bytes first;
  for (int i = 0; i < 5; ++i) {
    const std::vector<double> values(64, i + 1.0);
    const auto made = quantize_blocks(Weight::from_doubles(DType::f32, {2, 32}, values), {});
    const Bytes scales = read(made.scales);
    float scale = 0;
    std::memcpy(&scale, scales.data(), sizeof scale);
    EXPECT_EQ(scale, static_cast<float>(i + 1) / -8);
  }
}

// Quantizing decoded values: the inner scan runs while the outer one computes a tile.
TEST(QuantizedWeight, ScansMayReadScans) {
  const auto [source, weight] = counted({900, 128});
  const BlockParameters fine{.bits = 8, .symmetric = false}, coarse{.bits = 4, .block_size = 16};
  const Weight decoded = dequantize_blocks(quantize_blocks(weight, fine), fine, 128);
  const auto values = values_of<float>(decoded);
  const auto bytes = std::as_bytes(std::span(values));
  const Weight stored = Weight::constant(DType::f32, {900, 128}, Bytes(bytes.begin(), bytes.end()));
  EXPECT_EQ(read(quantize_blocks(decoded, coarse).codes), read(quantize_blocks(stored, coarse).codes));
}

TEST(QuantizedWeight, AnyExpressionAndDtypeCanBeQuantized) {
  const auto [source, weight] = counted({64, 48});
  const Weight half = weight.cast(DType::bf16), transposed = half.permute({1, 0});
  const auto values = values_of<float>(transposed.cast(DType::f32));
  const auto bytes = std::as_bytes(std::span(values));
  const Weight stored = Weight::constant(DType::f32, {48, 64}, Bytes(bytes.begin(), bytes.end()));
  EXPECT_EQ(read(quantize_blocks(transposed, {}).codes), read(quantize_blocks(stored, {}).codes));
  EXPECT_EQ(read(quantize_bnb4(transposed, true, 64).codes), read(quantize_bnb4(stored, true, 64).codes));
  const TensorParameters channels{.axis = 0};
  EXPECT_EQ(read(quantize_tensor(transposed, channels).codes), read(quantize_tensor(stored, channels).codes));
}

TEST(QuantizedWeight, RangesOfFourBitFloats) {
  for (const bool nf4 : {true, false}) {
    const auto [source, weight] = counted({401, 377});  // an odd number of values
    const QuantizedBnb4 made = quantize_bnb4(weight, nf4, 64);
    EXPECT_EQ(made.codes.shape(), (Dims{(401 * 377 + 1) / 2}));
    EXPECT_EQ(made.absmax.shape(), (Dims{(401 * 377 + 63) / 64}));
    const auto values = values_of<float>(weight);
    std::vector<std::uint8_t> codes(static_cast<std::size_t>(made.codes.numel()));
    std::vector<float> magnitudes(static_cast<std::size_t>(made.absmax.numel()));
    quantize_bnb4(values.data(), weight.numel(), nf4 ? Bnb4Type::nf4 : Bnb4Type::fp4, 64, codes.data(),
                  magnitudes.data());
    const auto code_bytes = std::as_bytes(std::span(codes)), absmax = std::as_bytes(std::span(magnitudes));
    expect_ranges(made.absmax, Bytes(absmax.begin(), absmax.end()), "absmax");
    expect_ranges(made.codes, Bytes(code_bytes.begin(), code_bytes.end()), "codes");
  }
}

}  // namespace
}  // namespace onnxport::test
