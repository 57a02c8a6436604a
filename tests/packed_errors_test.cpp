// GPTQ, AWQ, compressed-tensors and bitsandbytes: errors.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/quantization.h"
#include "errors.h"
#include "exporter/quantization.h"
#include "onnxport/config.h"
#include "raw_tensors.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

using Tensors = std::vector<Raw>;

class PackedErrors : public testing::Test {
 protected:
  std::string open(const std::string& quantization, const Tensors& tensors) {
    write_raw(folder_.path() / "model.safetensors", tensors);
    const auto config = PretrainedConfig::from_json(
        R"({"model_type": "llama", "quantization_config": )" + quantization + "}", "config.json");
    return error_of([&] { Checkpoint::open(folder_.path(), read_quantization(config)); });
  }

  /// The same after replacing the tensor with the key of `other`; without it if `other` has no dtype.
  std::string open_with(const std::string& quantization, Tensors tensors, const Raw& other) {
    std::erase_if(tensors, [&](const Raw& tensor) { return tensor.key == other.key; });
    if (!other.dtype.empty()) tensors.push_back(other);
    return open(quantization, tensors);
  }

  TempFolder folder_;
};

TEST_F(PackedErrors, Gptq) {
  const std::string config = R"({"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": true})";
  const Tensors good = {zeros("a.qweight", "I32", {8, 16}, 4), zeros("a.qzeros", "I32", {2, 2}, 4),
                        zeros("a.scales", "F16", {2, 16}, 2), zeros("a.g_idx", "I32", {64}, 4)};
  const auto with = [&](const Raw& other) { return open_with(config, good, other); };
  EXPECT_EQ(open(config, good), "no error");
  for (const char* part : {"qzeros", "scales", "g_idx"}) {
    EXPECT_EQ(
        with({std::string("a.") + part, "", {}, {}}),
        fmt::format("tensor 'a.qweight' in model.safetensors has quantized values, but 'a.{}' is missing",
                    part));
  }
  EXPECT_EQ(
      with(zeros("a.qweight", "I32", {8, 24}, 4)),
      "tensor 'a.scales' in model.safetensors is float16[2, 16], expected floats[2, 24]: one scale for each "
      "group of 32 inputs and each output");
  EXPECT_EQ(with(zeros("a.qweight", "I32", {16, 16}, 4)),
            "tensor 'a.qweight' in model.safetensors is int32[16, 16], expected int32[8, outputs]: it has 64 "
            "inputs "
            "of 4 bits each");
  EXPECT_EQ(
      with(zeros("a.qweight", "I32", {8, 15}, 4)),
      "tensor 'a.qweight' in model.safetensors is int32[8, 15], expected int32[8, a multiple of 8]: the zero "
      "points of all outputs fill whole words");
  EXPECT_EQ(
      with(zeros("a.qweight", "I64", {8, 16}, 8)),
      "tensor 'a.qweight' in model.safetensors is int64[8, 16], expected a matrix of int32: it has packed "
      "integers");
  EXPECT_EQ(
      with(zeros("a.qzeros", "I32", {1, 2}, 4)),
      "tensor 'a.qzeros' in model.safetensors is int32[1, 2], expected int32[2, 2]: one zero point for each "
      "scale");
  EXPECT_EQ(with(zeros("a.scales", "I16", {2, 16}, 2)),
            "tensor 'a.scales' in model.safetensors is int16[2, 16], expected a matrix of floats: it has the "
            "scales "
            "of 'a.qweight'");
  EXPECT_EQ(
      with(zeros("a.scales", "F16", {1, 16}, 2)),
      "tensor 'a.scales' in model.safetensors is float16[1, 16], expected floats[2, 16]: one scale for each "
      "group of 32 inputs and each output");
  EXPECT_EQ(
      with(zeros("a.g_idx", "F32", {64}, 4)),
      "tensor 'a.g_idx' in model.safetensors is float32[64], expected a vector of integers: it has the group "
      "of each input");
  std::vector<std::int32_t> groups(64, 1);
  for (const std::int32_t group : {2, -1}) {
    groups[7] = group;
    EXPECT_EQ(
        with({"a.g_idx", "I32", {64}, bytes_of(groups)}),
        fmt::format(
            "tensor 'a.g_idx' in model.safetensors has the group {}, expected at least 0 and less than 2",
            group));
  }
  EXPECT_EQ(with(zeros("a.weight", "F16", {16, 64}, 2)),
            "tensor 'a.weight' in model.safetensors occurs twice: plain and quantized");
  EXPECT_NE(with(zeros("a.qweight", "I32", {std::int64_t{1} << 58, 0}, 4)), "no error");
  EXPECT_EQ(open(config, {zeros("a.qweight", "I32", {0, 0}, 4), zeros("a.qzeros", "I32", {0, 0}, 4),
                          zeros("a.scales", "F16", {0, 0}, 2), zeros("a.g_idx", "I32", {0}, 4)})
                .substr(0, 17),
            "tensor 'a.qweight");
}

TEST_F(PackedErrors, Awq) {
  const std::string gemm = R"({"quant_method": "awq", "group_size": 32})",
                    gemv = R"({"quant_method": "awq", "group_size": 32, "version": "gemv"})";
  const Tensors good = {zeros("a.qweight", "I32", {64, 2}, 4), zeros("a.qzeros", "I32", {2, 2}, 4),
                        zeros("a.scales", "F16", {2, 16}, 2)};
  EXPECT_EQ(open(gemm, good), "no error");
  EXPECT_EQ(
      open_with(gemm, good, zeros("a.scales", "F16", {16, 2}, 2)),
      "tensor 'a.scales' in model.safetensors is float16[16, 2], expected floats[2, 16]: one scale for each "
      "group and output");
  EXPECT_EQ(
      open_with(gemm, good, zeros("a.qzeros", "I32", {2, 1}, 4)),
      "tensor 'a.qzeros' in model.safetensors is int32[2, 1], expected int32[2, 2]: one zero point for each "
      "scale");
  EXPECT_EQ(open_with(gemm, good, zeros("a.qweight", "I32", {63, 2}, 4)),
            "tensor 'a.qweight' in model.safetensors is int32[63, 2], expected a multiple of 32 inputs: "
            "groups have "
            "as many inputs");
  EXPECT_EQ(open_with(gemm, good, {"a.qzeros", "", {}, {}}),
            "tensor 'a.qweight' in model.safetensors has quantized values, but 'a.qzeros' is missing");
  const Tensors rows = {zeros("a.qweight", "I32", {16, 8}, 4), zeros("a.qzeros", "I32", {16, 1}, 4),
                        zeros("a.scales", "F16", {16, 8}, 2)};
  EXPECT_EQ(open(gemv, rows), "no error");
  EXPECT_EQ(
      open_with(gemv, rows, zeros("a.scales", "F16", {16, 1}, 2)),
      "tensor 'a.scales' in model.safetensors is float16[16, 1], expected floats[16, at least 2]: one scale "
      "for each output and group");
  EXPECT_EQ(open_with(gemv, rows, zeros("a.qzeros", "I32", {16, 0}, 4)),
            "tensor 'a.qzeros' in model.safetensors is int32[16, 0], expected int32[16, at least 1]: one "
            "zero point "
            "for each scale");
}

TEST_F(PackedErrors, CompressedTensors) {
  const auto config = [](const std::string& format, const std::string& weights,
                         const std::string& more = "") {
    return R"({"quant_method": "compressed-tensors", "format": ")" + format +
           R"(", "config_groups": {"g": {"targets": ["Linear"], "weights": {)" + weights + "}}}" + more + "}";
  };
  const std::string pack = config("pack-quantized", R"("num_bits": 4, "group_size": 16)");
  const std::vector<std::int64_t> shape = {6, 32};
  const Tensors good = {zeros("a.weight_packed", "I32", {6, 4}, 4),
                        zeros("a.weight_scale", "BF16", {6, 2}, 2),
                        {"a.weight_shape", "I64", {2}, bytes_of(shape)}};
  const auto with = [&](const Raw& other) { return open_with(pack, good, other); };
  EXPECT_EQ(open(pack, good), "no error");
  EXPECT_EQ(
      with({"a.weight_scale", "", {}, {}}),
      "tensor 'a.weight_packed' in model.safetensors has quantized values, but 'a.weight_scale' is missing");
  EXPECT_EQ(
      with({"a.weight_shape", "", {}, {}}),
      "tensor 'a.weight_scale' in model.safetensors has quantized values, but 'a.weight_shape' is missing");
  EXPECT_EQ(with(zeros("a.weight_packed", "I32", {6, 5}, 4)),
            "tensor 'a.weight_packed' in model.safetensors is int32[6, 5], expected int32[outputs, "
            "ceil(inputs * 4 / "
            "32)]: the shape in 'a.weight_shape' is [6, 32]");
  EXPECT_EQ(with(zeros("a.weight_scale", "BF16", {6, 1}, 2)),
            "tensor 'a.weight_scale' in model.safetensors is bfloat16[6, 1], expected floats[6, 2]: it has "
            "the scales "
            "of 'a.weight'");
  EXPECT_EQ(with(zeros("a.weight_g_idx", "I32", {31}, 4)),
            "tensor 'a.weight_g_idx' in model.safetensors is int32[31], expected int32[32]: it has the group "
            "of each "
            "input");
  EXPECT_EQ(
      with(zeros("lm_head.weight_scale", "I32", {1}, 4)),
      "tensor 'lm_head.weight_scale' in model.safetensors is int32[1], expected floats: it has the scales of "
      "'lm_head.weight'");
  EXPECT_EQ(
      open(config("pack-quantized", R"("num_bits": 4, "group_size": 16)", R"(, "ignore": ["re:a"])"), good),
      "tensor 'a.weight_scale' in model.safetensors is bfloat16[6, 2], expected no scales: "
      "quantization_config "
      "has no group for the module 'a', or ignores it");
  EXPECT_EQ(open(config("pack-quantized", R"("num_bits": 4, "group_size": 16, "symmetric": false)"), good),
            "tensor 'a.weight_scale' in model.safetensors has quantized values, but 'a.weight_zero_point' is "
            "missing");
  Tensors odd = good;
  odd.push_back(zeros("a.weight_zero_point", "I32", {2, 2}, 4));
  EXPECT_EQ(open(config("pack-quantized", R"("num_bits": 4, "group_size": 16, "symmetric": false)"), odd),
            "tensor 'a.weight_zero_point' in model.safetensors is int32[2, 2], expected int32[1, 2]: it has "
            "the zero "
            "points of 'a.weight'");
  const Tensors plain = {zeros("a.weight", "I8", {6, 32}, 1), zeros("a.weight_scale", "F32", {6, 1}, 4)};
  EXPECT_EQ(open(config("int-quantized", R"("num_bits": 8, "strategy": "channel")"), plain), "no error");
  EXPECT_EQ(
      open(config("float-quantized", R"("num_bits": 8, "type": "float", "strategy": "channel")"), plain),
      "tensor 'a.weight' in model.safetensors is int8[6, 32], expected a matrix of 8-bit floats: the scheme "
      "of "
      "its module in quantization_config says so");
  EXPECT_EQ(open(pack, {zeros("a.weight", "F8_E4M3", {6, 32}, 1)}),
            "tensor 'a.weight' in model.safetensors has quantized values, but 'a.weight_scale' is missing");
}

TEST_F(PackedErrors, BitsAndBytes) {
  const std::string config = R"({"quant_method": "bitsandbytes", "load_in_4bit": true})";
  const auto state = [](const std::string& text) {
    const std::vector<char> bytes(text.begin(), text.end());
    return Raw{
        "a.quant_state.bitsandbytes__nf4", "U8", {static_cast<std::int64_t>(bytes.size())}, bytes_of(bytes)};
  };
  const Raw good_state =
      state(R"({"blocksize": 64, "dtype": "float16", "shape": [9, 11], "nested_blocksize": 256,
                                   "nested_offset": 0.5})");
  const Tensors good = {zeros("a", "U8", {50, 1}, 1), zeros("a.absmax", "F32", {2}, 4),
                        zeros("a.quant_map", "F32", {16}, 4), good_state};
  const auto with = [&](const Raw& other) { return open_with(config, good, other); };
  EXPECT_EQ(open(config, good), "no error");
  EXPECT_EQ(open(config, {zeros("a", "F32", {9, 11}, 4)}),
            "model.safetensors has no weights of the method that config.json names in 'quantization_config': "
            "expected tensors '….quant_state.bitsandbytes__nf4'; if the weights are floats, remove this key");
  EXPECT_EQ(
      open(R"({"quant_method": "bitsandbytes", "load_in_8bit": true})", {zeros("a", "F32", {9, 11}, 4)}),
      "no error");
  EXPECT_EQ(with(zeros("a", "U8", {49, 1}, 1)),
            "tensor 'a' in model.safetensors is uint8[49, 1], expected uint8[50, 1]: it has two codes in "
            "each byte");
  EXPECT_EQ(with({"a.absmax", "", {}, {}}),
            "tensor 'a' in model.safetensors has quantized values, but 'a.absmax' is missing");
  EXPECT_EQ(with({"a.quant_map", "", {}, {}}),
            "tensor 'a' in model.safetensors has quantized values, but 'a.quant_map' is missing");
  EXPECT_EQ(with({good_state.key, "", {}, {}}),
            "tensor 'a.absmax' in model.safetensors belongs to a weight of 4 bits, but "
            "'a.quant_state.bitsandbytes__nf4' is missing");
  EXPECT_EQ(
      with(zeros("a.absmax", "F32", {3}, 4)),
      "tensor 'a.absmax' in model.safetensors is float32[3], expected float32[2]: it has the scales of 'a'");
  EXPECT_EQ(with(zeros("a.quant_map", "F32", {15}, 4)),
            "tensor 'a.quant_map' in model.safetensors is float32[15], expected float32[16]: it has the "
            "values of all "
            "codes");
  const std::string start = "tensor 'a.quant_state.bitsandbytes__nf4' in model.safetensors ";
  EXPECT_EQ(with(state("[1]")), start + "is no JSON object, expected the quantization state");
  EXPECT_EQ(with(state("{")), start + "is no JSON object, expected the quantization state");
  EXPECT_EQ(with(state(R"({"blocksize": 64, "dtype": "float16", "shape": [9, -1]})")),
            start + "has 'shape' = [9,-1], expected a list of extents");
  EXPECT_EQ(with(state(R"({"blocksize": 0, "dtype": "float16", "shape": [9, 11]})")),
            start + "has 'blocksize' = 0, expected a positive integer");
  EXPECT_EQ(with(state(R"({"blocksize": 64, "dtype": "int8", "shape": [9, 11]})")),
            start + "has 'dtype' = \"int8\", expected 'float32', 'float16' or 'bfloat16'");
  Tensors nested = {zeros("a.nested_absmax", "F32", {1}, 4), zeros("a.nested_quant_map", "F32", {256}, 4)};
  nested.insert(nested.end(), good.begin(), good.end());
  EXPECT_EQ(
      open(config, nested),
      "tensor 'a.absmax' in model.safetensors is float32[2], expected uint8[2]: it has the scales of 'a'");
  EXPECT_EQ(open_with(config, nested, zeros("a.absmax", "U8", {2}, 1)), "no error");
  const Tensors eight = {zeros("b.weight", "I8", {4, 6}, 1), zeros("b.SCB", "F32", {4}, 4)};
  EXPECT_EQ(open(config, eight), "no error");
  EXPECT_EQ(
      open_with(config, eight, zeros("b.SCB", "F32", {6}, 4)),
      "tensor 'b.SCB' in model.safetensors is float32[6], expected float32[4]: one scale for each output");
  EXPECT_EQ(
      open_with(config, eight, zeros("b.weight", "F16", {4, 6}, 2)),
      "tensor 'b.weight' in model.safetensors is float16[4, 6], expected a matrix of int8: 'b.SCB' has its "
      "scales");
  EXPECT_EQ(open_with(config, eight, {"b.weight_format", "U8", {}, bytes_of(std::vector<std::uint8_t>{2})}),
            "tensor 'b.weight_format' in model.safetensors is uint8[], expected uint8[] with the value 0: "
            "only rows "
            "are supported; save the checkpoint with bitsandbytes 0.45 or later");
}

}  // namespace
}  // namespace onnxport::test
