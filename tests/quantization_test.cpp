// Quantized checkpoints: FP8 and MXFP4 become the tensors that torch and transformers make of them (the
// fixtures of tests/quantized), and a model whose weights are FP8 becomes the file of its dequantized copy.
#include "checkpoint/quantization.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "errors.h"
#include "exporter/quantization.h"
#include "golden_fixture.h"
#include "ir/weight_scaled.h"
#include "onnxport/config.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "onnxport/tensor.h"
#include "raw_tensors.h"
#include "stored_weights.h"
#include "support/convert.h"
#include "support/dtype_names.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"
#include "test_paths.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Equal bytes, but for the signs and payloads of NaNs.
void expect_same(const Bytes& got, const Bytes& expected, DType dtype, const std::string& what) {
  ASSERT_EQ(got.size(), expected.size()) << what;
  const std::size_t size = size_of(dtype);
  std::vector<double> a(got.size() / size), b(a.size());
  convert(dtype, got.data(), DType::f64, reinterpret_cast<std::byte*>(a.data()), a.size());
  convert(dtype, expected.data(), DType::f64, reinterpret_cast<std::byte*>(b.data()), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(b[i])) {
      ASSERT_TRUE(std::isnan(a[i])) << what << " at " << i;
    } else {
      ASSERT_EQ(std::memcmp(got.data() + i * size, expected.data() + i * size, size), 0)
          << what << " at " << i << ": " << a[i] << ", expected " << b[i];
    }
  }
}

/// The whole, after reading it in ranges of `step` elements.
Bytes read_in_steps(const Weight& weight, std::int64_t step) {
  const auto size = static_cast<std::int64_t>(size_of(weight.dtype()));
  Bytes bytes(static_cast<std::size_t>(weight.numel() * size));
  for (std::int64_t i = 0; i < weight.numel(); i += step) {
    weight.read(i, std::min(step, weight.numel() - i), bytes.data() + i * size);
  }
  return bytes;
}

// ---------------------------------------------------------------------------------------------------------------------
// What torch and transformers give

class QuantizedFixture : public testing::TestWithParam<std::string> {};

TEST_P(QuantizedFixture, GivesTheValuesOfTheOriginal) {
  const fs::path folder = fs::path(source_dir()) / "tests" / "quantized" / GetParam();
  const auto config = PretrainedConfig::from_pretrained(folder);
  const auto checkpoint = Checkpoint::open(folder / "model.safetensors", read_quantization(config));
  EXPECT_EQ(config.unread_knobs(), std::vector<std::string>());

  const NamedTensors expected = read_safetensors(folder / "expected.safetensors");
  std::map<std::string, Tensor> by_key(expected.begin(), expected.end());
  EXPECT_EQ(checkpoint->tensors().size(), expected.size());
  std::int64_t parameters = 0;
  for (const TensorView& view : checkpoint->tensors()) {
    ASSERT_TRUE(by_key.contains(view.key)) << view.key;
    const Tensor& tensor = by_key.at(view.key);
    const Weight weight = checkpoint->weight(view);
    EXPECT_EQ(weight.name(), view.key);
    EXPECT_EQ(weight.shape(), tensor.shape) << view.key;
    EXPECT_EQ(view.shape, tensor.shape) << view.key;
    ASSERT_EQ(weight.dtype(), tensor.dtype) << view.key;
    ASSERT_EQ(view.dtype, tensor.dtype) << view.key;
    for (const std::int64_t step : {tensor.numel(), std::int64_t{1}, std::int64_t{7}, std::int64_t{33}}) {
      expect_same(read_in_steps(weight, step), tensor.data, tensor.dtype,
                  fmt::format("{} in steps of {}", view.key, step));
    }
    parameters += tensor.numel();
  }
  EXPECT_EQ(checkpoint->num_parameters(), parameters);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, QuantizedFixture,
                         testing::Values("float8_codes", "fp8_small_blocks", "fp8_default_blocks",
                                         "fp8_whole_tensors", "mxfp4", "gptq_2bit", "gptq_3bit", "gptq_4bit",
                                         "gptq_8bit", "gptq_order", "gptq_3bit_v2_order", "gptq_4bit_v2",
                                         "gptq_whole", "gptq_dynamic", "gptq_borrow", "awq_gemm", "awq_gemv",
                                         "compressed_pack", "compressed_order", "compressed_int8",
                                         "compressed_float8", "bitsandbytes_4bit", "bitsandbytes_8bit"),
                         [](const auto& fixture) { return fixture.param; });

// ---------------------------------------------------------------------------------------------------------------------
// Any shape, any block, any range

class ScaledWeight : public StoredWeights {
 protected:
  std::vector<std::uint8_t> random_bytes(std::int64_t count) {
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count));
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random_());
    return bytes;
  }
};

TEST_F(ScaledWeight, BlocksOfAnyShape) {
  for (int round = 0; round < 200; ++round) {
    const std::int64_t matrices = 1 + below(3), rows = 1 + below(40), columns = 1 + below(60);
    const std::int64_t block_rows = 1 + below(45), block_columns = 1 + below(65);
    const std::int64_t down = (rows - 1) / block_rows + 1, across = (columns - 1) / block_columns + 1;
    const auto codes = random_bytes(matrices * rows * columns);
    std::vector<float> scales(static_cast<std::size_t>(matrices * down * across));
    for (float& scale : scales) scale = static_cast<float>(below(1 << 24)) * 0x1p-30F;
    std::vector<float> expected;
    for (std::int64_t i = 0; i < matrices * rows * columns; ++i) {
      const std::int64_t matrix = i / columns / rows, row = i / columns % rows, column = i % columns;
      const std::int64_t at = (matrix * down + row / block_rows) * across + column / block_columns;
      expected.push_back(e4m3_to_float(codes[static_cast<std::size_t>(i)]) *
                         scales[static_cast<std::size_t>(at)]);
    }
    const Weight weight =
        scale_blocks(from_float8(stored(DType::u8, {matrices, rows, columns}, codes), Float8::e4m3),
                     stored(DType::f32, {matrices, down, across}, scales), block_rows, block_columns);
    const std::string what =
        fmt::format("[{}, {}, {}] in {} x {}", matrices, rows, columns, block_rows, block_columns);
    expect_same(read_in_steps(weight, 1 + below(weight.numel())), bytes_of(expected), DType::f32, what);
    // Through the transforms that definitions ask for.
    const Weight turned = weight.permute({0, 2, 1}).permute({0, 2, 1}).cast(DType::f64).cast(DType::f32);
    expect_same(read_in_steps(turned, 1 + below(weight.numel())), bytes_of(expected), DType::f32, what);
    if (HasFatalFailure()) FAIL() << "round " << round;
  }
}

TEST_F(ScaledWeight, LargerThanTheBuffers) {
  // More than one tile of each step, with rows that no tile divides.
  constexpr std::int64_t kRows = 301, kColumns = 1001;
  const auto codes = random_bytes(kRows * kColumns);
  std::vector<float> scales(3 * 8);
  for (std::size_t i = 0; i < scales.size(); ++i) scales[i] = 1 + 0.01F * static_cast<float>(i);
  const Weight weight = scale_blocks(from_float8(stored(DType::u8, {kRows, kColumns}, codes), Float8::e5m2),
                                     stored(DType::f32, {3, 8}, scales), 128, 128);
  std::vector<float> expected;
  for (std::int64_t i = 0; i < kRows * kColumns; ++i) {
    const std::int64_t at = i / kColumns / 128 * 8 + i % kColumns / 128;
    expected.push_back(e5m2_to_float(codes[static_cast<std::size_t>(i)]) *
                       scales[static_cast<std::size_t>(at)]);
  }
  expect_same(read_in_steps(weight, kRows * kColumns), bytes_of(expected), DType::f32, "whole");
  expect_same(read_in_steps(weight, 100003), bytes_of(expected), DType::f32, "in parts");

  // MXFP4: 602 x 512 values.
  const auto packed = random_bytes(602 * 16 * 16);
  auto exponents = random_bytes(602 * 16);
  for (std::uint8_t& exponent : exponents) exponent = static_cast<std::uint8_t>(100 + exponent % 50);
  const Weight four =
      from_mxfp4(stored(DType::u8, {602, 16, 16}, packed), stored(DType::u8, {602, 16}, exponents));
  EXPECT_EQ(four.shape(), (Dims{602, 512}));
  constexpr std::array<float, 8> kMagnitudes = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  std::vector<float> values;
  for (std::size_t i = 0; i < 602 * 512; ++i) {
    const unsigned code = packed[i / 2] >> (i % 2 * 4) & 0xfU;
    const float value = std::ldexp(kMagnitudes[code % 8], exponents[i / 32] - 127);
    values.push_back(code < 8 ? value : -value);
  }
  expect_same(read_in_steps(four.cast(DType::f32), 602 * 512), bytes_of(values), DType::f32, "whole");
  expect_same(read_in_steps(four.cast(DType::f32), 99991), bytes_of(values), DType::f32, "in parts");
}

TEST_F(ScaledWeight, FingerprintsAndShapes) {
  const Weight codes = stored(DType::u8, {4, 6}, random_bytes(24));
  const Weight values = from_float8(codes, Float8::e4m3),
               scales = stored(DType::f32, {2, 2}, std::vector<float>(4, 1));
  EXPECT_EQ(values.fingerprint(), from_float8(codes, Float8::e4m3).fingerprint());
  EXPECT_NE(values.fingerprint(), from_float8(codes, Float8::e5m2).fingerprint());
  const Weight scaled = scale_blocks(values, scales, 2, 3);
  EXPECT_EQ(scaled.fingerprint(), scale_blocks(values, scales, 2, 3).fingerprint());
  EXPECT_NE(scaled.fingerprint(), scale_blocks(values, scales, 3, 3).fingerprint());
  EXPECT_EQ(scaled.view(), nullptr);
  EXPECT_EQ(error_of([&] { scale_blocks(values, scales, 1, 3); }, ErrorCode::shape),
            "scales are float32[2, 2], expected [4, 2] for blocks of 1 x 3 of [4, 6]");
  EXPECT_EQ(
      error_of([&] { scale_blocks(codes, scales, 2, 3); }, ErrorCode::shape),
      "values to be scaled in blocks are uint8[4, 6], expected a matrix of float32, or several of them, and "
      "blocks that are not empty");
  EXPECT_EQ(error_of([&] { from_float8(values, Float8::e4m3); }, ErrorCode::shape),
            "codes of 8-bit floats are float32[4, 6], expected uint8");
  EXPECT_EQ(error_of([&] { from_mxfp4(codes, codes); }, ErrorCode::shape),
            "blocks of 4-bit floats are uint8[4, 6], expected uint8[..., groups, 16]");
  EXPECT_EQ(
      error_of([&] { from_mxfp4(stored(DType::u8, {4, 16}, random_bytes(64)), codes); }, ErrorCode::shape),
      "scales of 4-bit floats are uint8[4, 6], expected uint8[4]");
}

// ---------------------------------------------------------------------------------------------------------------------
// What cannot be

class QuantizedErrors : public testing::Test {
 protected:
  std::string fp8(const std::vector<Raw>& tensors,
                  const Quantization& quantization = {Quantization::Method::fp8}) {
    write_raw(folder_.path() / "model.safetensors", tensors);
    return error_of([&] { Checkpoint::open(folder_.path(), quantization); });
  }
  std::string mxfp4(const std::vector<Raw>& tensors) { return fp8(tensors, {Quantization::Method::mxfp4}); }

  TempFolder folder_;
};

TEST_F(QuantizedErrors, Fp8) {
  const Raw weight = zeros("a.weight", "F8_E4M3", {200, 300}, 1);
  EXPECT_EQ(fp8({weight, zeros("a.weight_scale_inv", "F32", {2, 3}, 4)}), "no error");
  EXPECT_EQ(fp8({weight}),
            "tensor 'a.weight' in model.safetensors has 8-bit floats but no scale, expected "
            "'a.weight_scale_inv' or 'a.weight_scale' beside it");
  EXPECT_EQ(
      fp8({zeros("a.weight_scale_inv", "F32", {2, 3}, 4)}),
      "tensor 'a.weight_scale_inv' in model.safetensors has the scales of 'a.weight', which is missing, "
      "expected 8-bit floats");
  EXPECT_EQ(
      fp8({zeros("a.weight", "BF16", {2, 3}, 2), zeros("a.weight_scale", "F32", {1}, 4)}),
      "tensor 'a.weight_scale' in model.safetensors has the scales of 'a.weight', which is bfloat16[2, 3], "
      "expected 8-bit floats");
  EXPECT_EQ(fp8({weight, zeros("a.weight_scale_inv", "F32", {3, 2}, 4)}),
            "tensor 'a.weight_scale_inv' in model.safetensors has shape [3, 2], expected [2, 3]: one scale "
            "per 128 x 128 elements of 'a.weight' [200, 300]");
  EXPECT_EQ(fp8({weight, zeros("a.weight_scale_inv", "F32", {}, 4)},
                {Quantization::Method::fp8, std::array<std::int64_t, 2>{100, 100}}),
            "tensor 'a.weight_scale_inv' in model.safetensors has shape [], expected [2, 3]: one scale per "
            "100 x 100 elements of 'a.weight' [200, 300]");
  EXPECT_EQ(fp8({weight, zeros("a.weight_scale_inv", "I32", {2, 3}, 4)}),
            "tensor 'a.weight_scale_inv' in model.safetensors is int32[2, 3], expected floats: it has the "
            "scales of "
            "'a.weight'");
  EXPECT_EQ(
      fp8({weight, zeros("a.weight_scale_inv", "F32", {2, 3}, 4), zeros("a.weight_scale", "F32", {2, 3}, 4)}),
      "tensor 'a.weight' in model.safetensors has two tensors of scales, expected either '_scale_inv' or "
      "'_scale'");
  EXPECT_EQ(
      fp8({zeros("b.weight", "F8_E4M3", {200}, 1), zeros("b.weight_scale_inv", "F32", {2}, 4)}),
      "tensor 'b.weight' in model.safetensors has shape [200], expected a matrix in blocks of 128 x 128");
  EXPECT_EQ(fp8({zeros("b.weight", "F8_E4M3", {0, 3}, 1), zeros("b.weight_scale_inv", "F32", {}, 4)}),
            "no error");
  EXPECT_EQ(fp8({zeros("b.weight", "F8_E4M3", {0, 3}, 1), zeros("b.weight_scale_inv", "F32", {0, 1}, 4)}),
            "no error");
  // A block larger than anything.
  EXPECT_EQ(
      fp8({weight, zeros("a.weight_scale_inv", "F32", {1, 1}, 4)},
          {Quantization::Method::fp8, std::array<std::int64_t, 2>{std::numeric_limits<std::int64_t>::max(),
                                                                  std::numeric_limits<std::int64_t>::max()}}),
      "no error");
  write_raw(folder_.path() / "model.safetensors", {zeros("a.weight", "F8_E4M3FNUZ", {2}, 1)});
  EXPECT_EQ(
      error_of([&] { Checkpoint::open(folder_.path()); }, ErrorCode::unsupported),
      "tensor 'a.weight' in model.safetensors has the unsupported dtype F8_E4M3FNUZ; save the checkpoint in "
      "BF16, F16 or F32");
}

TEST_F(QuantizedErrors, Mxfp4) {
  const Raw blocks = zeros("e.up_blocks", "U8", {2, 3, 4, 16}, 1),
            scales = zeros("e.up_scales", "U8", {2, 3, 4}, 1);
  EXPECT_EQ(mxfp4({blocks, scales}), "no error");
  EXPECT_EQ(mxfp4({blocks}),
            "tensor 'e.up_blocks' in model.safetensors has 4-bit floats but no scales, expected "
            "'e.up_scales' beside it");
  EXPECT_EQ(mxfp4({scales}),
            "tensor 'e.up_scales' in model.safetensors has the scales of 'e.up_blocks', which is missing");
  EXPECT_EQ(mxfp4({blocks, zeros("e.up_scales", "U8", {2, 4, 3}, 1)}),
            "tensor 'e.up_scales' in model.safetensors is uint8[2, 4, 3], expected uint8[2, 3, 4]: it has "
            "the scales "
            "of 'e.up_blocks' [2, 3, 4, 16]");
  EXPECT_EQ(mxfp4({blocks, zeros("e.up_scales", "I8", {2, 3, 4}, 1)}),
            "tensor 'e.up_scales' in model.safetensors is int8[2, 3, 4], expected uint8[2, 3, 4]: it has the "
            "scales "
            "of 'e.up_blocks' [2, 3, 4, 16]");
  EXPECT_EQ(
      mxfp4({zeros("e.up_blocks", "U8", {2, 3, 4, 8}, 1), scales}),
      "tensor 'e.up_blocks' in model.safetensors is uint8[2, 3, 4, 8], expected uint8[experts, rows, groups, "
      "16]: it has 4-bit floats");
  EXPECT_EQ(
      mxfp4({zeros("e.up_blocks", "U8", {3, 4, 16}, 1), zeros("e.up_scales", "U8", {3, 4}, 1)}),
      "tensor 'e.up_blocks' in model.safetensors is uint8[3, 4, 16], expected uint8[experts, rows, groups, "
      "16]: it has 4-bit floats");
  EXPECT_EQ(
      mxfp4({zeros("e.up_blocks", "U8", {0, 1, std::int64_t{1} << 58, 16}, 1),
             zeros("e.up_scales", "U8", {0, 1, std::int64_t{1} << 58}, 1)}),
      "tensor 'e.up_blocks' in model.safetensors has the impossible shape [0, 1, 288230376151711744, 16]");
  EXPECT_EQ(mxfp4({blocks, scales, zeros("e.up", "BF16", {1}, 2)}),
            "tensor 'e.up' in model.safetensors occurs twice: also as 'e.up_blocks'");
}

TEST(QuantizationConfig, Methods) {
  const auto read = [](const std::string& value) {
    const auto config = PretrainedConfig::from_json(
        R"({"model_type": "llama", "quantization_config": )" + value + "}", "config.json");
    const Quantization quantization = read_quantization(config);
    EXPECT_EQ(config.unread_knobs(), std::vector<std::string>()) << value;
    return quantization;
  };
  EXPECT_EQ(read("null").method, Quantization::Method::none);
  EXPECT_EQ(read(R"({"quant_method": "fp8"})").method, Quantization::Method::fp8);
  EXPECT_FALSE(read(R"({"quant_method": "fp8", "weight_block_size": null})").block);
  EXPECT_EQ(read(R"({"quant_method": "fp8", "weight_block_size": [64, 32]})").block,
            (std::array<std::int64_t, 2>{64, 32}));
  EXPECT_EQ(read(R"({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]})").method,
            Quantization::Method::mxfp4);

  for (const char* method : {"torchao", "fbgemm_fp8", "hqq", "quanto", "aqlm", "vptq", "eetq"}) {
    EXPECT_EQ(
        error_of([&] { read(fmt::format(R"({{"quant_method": "{}", "bits": 4}})", method)); },
                 ErrorCode::unsupported),
        fmt::format("config.json: key 'quantization_config.quant_method' is '{}', expected 'fp8', 'mxfp4', "
                    "'gptq', 'awq', 'compressed-tensors' or 'bitsandbytes': other quantized weights are not "
                    "supported; export the unquantized checkpoint",
                    method));
  }
  EXPECT_NE(error_of([&] { read(R"({"bits": 4})"); }, ErrorCode::unsupported).find("is missing, expected"),
            std::string::npos);
  for (const char* block : {"[128]", "[0, 128]", "[1, 2, 3]", "[-1, 5]", "7"}) {
    EXPECT_NE(
        error_of([&] { read(fmt::format(R"({{"quant_method": "fp8", "weight_block_size": {}}})", block)); },
                 ErrorCode::bad_config)
            .find("'quantization_config.weight_block_size'"),
        std::string::npos);
  }
  // A key that nobody knows still fails the export by name.
  const auto config = PretrainedConfig::from_json(
      R"({"model_type": "llama", "quantization_config": {"quant_method": "fp8", "rotation": "hadamard"}})",
      "x");
  read_quantization(config);
  EXPECT_EQ(config.unread_knobs().size(), 1U);
}

// ---------------------------------------------------------------------------------------------------------------------
// A whole model

/// Rounds to the nearest of all codes, by search.
std::uint8_t nearest_code(float value) {
  std::uint8_t best = 0;
  for (unsigned code = 0; code < 256; ++code) {
    const float other = e4m3_to_float(static_cast<std::uint8_t>(code));
    if (std::abs(other - value) < std::abs(e4m3_to_float(best) - value))
      best = static_cast<std::uint8_t>(code);
  }
  return best;
}

/// Writes a checkpoint whose projections are quantized in blocks, and one with the values that they then
/// have.
void quantize(const fs::path& from, const fs::path& quantized, const fs::path& dequantized,
              std::int64_t block_rows, std::int64_t block_columns) {
  std::vector<Raw> codes, values;
  for (const auto& [key, tensor] : read_safetensors(from / "model.safetensors")) {
    const Raw plain{key, std::string(safetensors_name(tensor.dtype)), tensor.shape, tensor.data};
    if (!key.ends_with("proj.weight")) {
      codes.push_back(plain);
      values.push_back(plain);
      continue;
    }
    const std::int64_t rows = tensor.shape[0], columns = tensor.shape[1];
    const std::int64_t down = (rows - 1) / block_rows + 1, across = (columns - 1) / block_columns + 1;
    const auto block_of = [&](std::size_t i) {
      const auto at = static_cast<std::int64_t>(i);
      return static_cast<std::size_t>(at / columns / block_rows * across + at % columns / block_columns);
    };
    const std::vector<double> original = tensor.to_doubles();
    std::vector<float> scales(static_cast<std::size_t>(down * across), 0);
    for (std::size_t i = 0; i < original.size(); ++i) {
      scales[block_of(i)] = std::max(scales[block_of(i)], static_cast<float>(std::abs(original[i])) / 448);
    }
    std::vector<std::uint8_t> rounded;
    std::vector<float> products;
    for (std::size_t i = 0; i < original.size(); ++i) {
      rounded.push_back(nearest_code(static_cast<float>(original[i]) / scales[block_of(i)]));
      products.push_back(e4m3_to_float(rounded.back()) * scales[block_of(i)]);
    }
    codes.push_back({key, "F8_E4M3", tensor.shape, bytes_of(rounded)});
    codes.push_back({key + "_scale_inv", "F32", {down, across}, bytes_of(scales)});
    values.push_back({key, "F32", tensor.shape, bytes_of(products)});
  }
  json config = parse_json<json>(read_text_file(from / "config.json"));
  for (const auto& [folder, tensors] : {std::pair(dequantized, &values), std::pair(quantized, &codes)}) {
    fs::create_directories(folder);
    write_raw(folder / "model.safetensors", *tensors);
    std::ofstream(folder / "config.json") << config.dump();
    config["quantization_config"] = {{"quant_method", "fp8"},
                                     {"fmt", "e4m3"},
                                     {"activation_scheme", "dynamic"},
                                     {"weight_block_size", {block_rows, block_columns}},
                                     {"modules_to_not_convert", {"lm_head"}}};
  }
}

TEST(QuantizedModel, ExportsAsItsDequantizedCopy) {
  for (const auto& [fixture, rows, columns, dtype] :
       {std::tuple("llama/text-generation-with-past", 128, 128, "fp32"),
        std::tuple("llama/text-generation-with-past+bf16", 16, 24, "fp16"),
        std::tuple("qwen3_moe/text-generation-with-past", 8, 8, "fp32")}) {
    SCOPED_TRACE(fixture);
    const TempFolder folder;
    const fs::path original = folder.path() / "original", quantized = folder.path() / "quantized",
                   dequantized = folder.path() / "dequantized";
    synthesize(read_fixture(fixture), original);
    quantize(original, quantized, dequantized, rows, columns);
    std::map<fs::path, std::string> written;
    for (const fs::path& from : {quantized, dequantized}) {
      const fs::path to = folder.path() / "out" / from.filename();
      const MainExportOptions options{
          .model = from, .output = to, .task = "text-generation-with-past", .dtype = dtype};
      EXPECT_TRUE(main_export(options).passed());
      written[from] = read_text_file(to / "model.onnx");
    }
    EXPECT_TRUE(written[quantized] == written[dequantized]) << "the same weights give other files";
    // Weights that are computed can not stay in the checkpoint; what is stored plainly can.
    MainExportOptions beside{
        .model = quantized, .output = quantized, .task = "text-generation-with-past", .dtype = dtype};
    beside.export_options.external_data = "checkpoint";
    EXPECT_TRUE(main_export(beside).passed());
    EXPECT_TRUE(fs::exists(quantized / "model.onnx_data"));
    // The weights count: the original, which is not quantized, gives another file.
    main_export({.model = original,
                 .output = folder.path() / "o",
                 .task = "text-generation-with-past",
                 .dtype = dtype,
                 .validate = false});
    EXPECT_NE(read_text_file(folder.path() / "o" / "model.onnx"), written[quantized]);
  }
}

TEST(QuantizedModel, ScalesWithoutAConfigurationAreUnexpected) {
  const TempFolder folder;
  synthesize(read_fixture("llama/text-generation-with-past"), folder.path() / "original");
  quantize(folder.path() / "original", folder.path() / "q", folder.path() / "d", 128, 128);
  fs::copy_file(folder.path() / "d" / "config.json", folder.path() / "q" / "config.json",
                fs::copy_options::overwrite_existing);
  const std::string error = error_of([&] {
    main_export(
        {.model = folder.path() / "q", .output = folder.path() / "out", .task = "text-generation-with-past"});
  });
  EXPECT_NE(error.find("_scale_inv"), std::string::npos) << error;
}

}  // namespace
}  // namespace onnxport::test
