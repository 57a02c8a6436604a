// Names and fingerprints of quantized weights, and errors.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "counted_weight.h"
#include "errors.h"
#include "ir/weight_quantized.h"

namespace onnxport::test {
namespace {

TEST(QuantizedWeight, NamesAreThoseOfTheTools) {
  const Weight weight = counted({4, 64}, "layer.weight").weight;
  const QuantizedBlocks blocks = quantize_blocks(weight, {.bits = 2, .symmetric = false});
  EXPECT_EQ(blocks.codes.name(), "layer.weight_Q2");
  EXPECT_EQ(blocks.scales.name(), "layer.weight_scales");
  EXPECT_EQ(blocks.zero_points.name(), "layer.weight_zero_points");
  EXPECT_EQ(blocks.codes.shape(), (Dims{4, 2, 8}));
  EXPECT_EQ(blocks.scales.shape(), (Dims{4, 2}));
  EXPECT_EQ(blocks.zero_points.shape(), (Dims{4, 1}));
  const QuantizedTensor tensor = quantize_tensor(weight, {});
  EXPECT_EQ(tensor.codes.name(), "layer.weight_quantized");
  EXPECT_EQ(tensor.scale.name(), "layer.weight_scale");
  EXPECT_EQ(tensor.zero_point.name(), "layer.weight_zero_point");
  const QuantizedBnb4 floats = quantize_bnb4(weight, true, 64);
  EXPECT_EQ(floats.codes.name(), "layer.weight_Bnb4");
  EXPECT_EQ(floats.absmax.name(), "layer.weight_absmax");
  EXPECT_EQ(quantize_blocks(counted({4, 64}, "").weight, {}).codes.name(), "");
}

TEST(QuantizedWeight, FingerprintsAreEqualForEqualComputations) {
  const Weight weight = counted({4, 64}).weight, other = counted({4, 64}, "other").weight;
  const auto of = [](const QuantizedBlocks& made) { return made.codes.fingerprint(); };
  const std::string plain = of(quantize_blocks(weight, {}));
  EXPECT_EQ(plain, of(quantize_blocks(weight.named("renamed"), {})));
  std::vector<std::string> all = {plain,
                                  quantize_blocks(weight, {}).scales.fingerprint(),
                                  of(quantize_blocks(other, {})),
                                  of(quantize_blocks(weight, {.bits = 8})),
                                  of(quantize_blocks(weight, {.block_size = 64})),
                                  of(quantize_blocks(weight, {.symmetric = false})),
                                  of(quantize_blocks(weight, {.algorithm = BlockAlgorithm::k_quant})),
                                  quantize_blocks(weight, {.symmetric = false}).zero_points.fingerprint(),
                                  quantize_bnb4(weight, true, 64).codes.fingerprint(),
                                  quantize_bnb4(weight, false, 64).codes.fingerprint(),
                                  quantize_bnb4(weight, true, 32).codes.fingerprint()};
  for (const DType dtype : {DType::i8, DType::u8}) {
    for (const bool symmetric : {true, false}) {
      for (const bool reduce_range : {true, false}) {
        for (const std::optional<std::int64_t> axis : {std::optional<std::int64_t>{}, {0}, {1}}) {
          const auto made = quantize_tensor(weight, {dtype, symmetric, reduce_range, axis});
          all.push_back(made.codes.fingerprint());
          all.push_back(made.scale.fingerprint());
          all.push_back(made.zero_point.fingerprint());
        }
      }
    }
  }
  // k_quant is never symmetric.
  EXPECT_EQ(of(quantize_blocks(weight, {.symmetric = false, .algorithm = BlockAlgorithm::k_quant})), all[6]);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
}

TEST(QuantizedWeight, ValuesThatAreNotFiniteAreRefusedWhenRead) {
  const auto [source, weight] = counted({1000, 200});
  source->broken = 150000;
  const std::string expected = "tensor 'w': 1 of 200000 values are NaN or infinite and cannot be quantized";
  const QuantizedBlocks blocks = quantize_blocks(weight, {});
  const QuantizedTensor tensor = quantize_tensor(weight, {});
  const QuantizedBnb4 floats = quantize_bnb4(weight, false, 32);
  EXPECT_EQ(error_of([&] { read(blocks.codes); }), expected);
  EXPECT_EQ(error_of([&] { read(blocks.scales, blocks.scales.numel() * 3 / 4, 1); }), expected);
  EXPECT_EQ(error_of([&] { read(blocks.codes, 0, 1); }), "no error");
  EXPECT_EQ(error_of([&] { read(tensor.zero_point); }), expected);
  EXPECT_EQ(error_of([&] { read(tensor.codes, 0, 1); }), expected);
  EXPECT_EQ(error_of([&] { read(floats.absmax); }), expected);
}

TEST(QuantizedWeight, RangesThatNoScaleHoldsAreRefused) {
  constexpr double kHuge = 3e38;
  const std::vector<double> values = {kHuge, -kHuge};
  const Weight weight = Weight::from_doubles(DType::f32, {1, 2}, values, "w");
  EXPECT_EQ(
      error_of([&] { read(quantize_blocks(weight, {.symmetric = false}).codes); }),
      "tensor 'w': the values of a block are too far apart for a scale of float32, and cannot be quantized");
  EXPECT_EQ(error_of([&] { read(quantize_blocks(weight, {}).codes); }), "no error");
}

TEST(QuantizedWeight, WhatDoesNotFitIsRefused) {
  const Weight matrix = counted({4, 64}).weight, cube = counted({4, 8, 8}).weight;
  const Weight numbers = Weight::from_ints({2, 2}, std::vector<std::int64_t>{1, 2, 3, 4}, DType::i64, "n");
  const auto shape = [](const auto& action) { return complaint(ErrorCode::shape, action); };
  EXPECT_EQ(shape([&] { quantize_blocks(cube, {}); }),
            "cannot quantize 'w' float32[4, 8, 8], expected a matrix of floats that is not empty");
  EXPECT_EQ(shape([&] { quantize_bnb4(numbers, true, 64); }),
            "cannot quantize 'n' int64[2, 2], expected a matrix of floats that is not empty");
  EXPECT_EQ(shape([&] { quantize_blocks(counted({0, 4}).weight, {}); }),
            "cannot quantize 'w' float32[0, 4], expected a matrix of floats that is not empty");
  EXPECT_EQ(shape([&] { quantize_tensor(numbers, {}); }),
            "cannot quantize 'n' int64[2, 2], expected floats that are not empty");
  EXPECT_EQ(
      shape([&] { quantize_tensor(cube, {.axis = 3}); }),
      "cannot quantize 'w' float32[4, 8, 8] with a scale for each index of axis 3, expected floats that are "
      "not empty");
  const auto made = quantize_blocks(matrix, {.symmetric = false});
  EXPECT_EQ(shape([&] { dequantize_blocks(made, {}, 65); }),
            "cannot take scales from 'w_scales' float32[4, 2], expected float32 [N, ceil(65 / 32)]");
  EXPECT_EQ(shape([&] { dequantize_blocks(made, {.bits = 8}, 64); }),
            "cannot take codes from 'w_Q4' uint8[4, 2, 16], expected uint8[4, 2, 32]");
  const auto argument = [](const auto& action) { return complaint(ErrorCode::invalid_argument, action); };
  EXPECT_EQ(argument([&] { quantize_blocks(matrix, {.block_size = 48}); }),
            "blocks of 48 values, expected 16, 32, 64, 128 or 256");
  EXPECT_EQ(argument([&] { quantize_bnb4(matrix, true, 8); }),
            "blocks of 8 values, expected 16, 32, 64, 128 or 256");
  EXPECT_EQ(argument([&] { quantize_blocks(matrix, {.bits = 3}); }), "codes of 3 bits, expected 2, 4 or 8");
  EXPECT_EQ(argument([&] { quantize_blocks(matrix, {.bits = 2, .algorithm = BlockAlgorithm::k_quant}); }),
            "codes of 2 bits, expected 4 or 8 for k_quant");
  EXPECT_EQ(argument([&] { quantize_tensor(matrix, {.dtype = DType::i16}); }),
            "codes of int16, expected int8 or uint8");
}

}  // namespace
}  // namespace onnxport::test
