// Settings of quantized checkpoints that are not supported fail by name.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "errors.h"
#include "exporter/quantization.h"
#include "onnxport/config.h"

namespace onnxport::test {
namespace {

TEST(PackedConfig, WhatIsNotSupported) {
  const auto read = [](const std::string& value, ErrorCode code) {
    return error_of(
        [&] {
          const auto config = PretrainedConfig::from_json(
              R"({"model_type": "llama", "quantization_config": )" + value + "}", "config.json");
          read_quantization(config);
          EXPECT_EQ(config.unread_knobs(), std::vector<std::string>()) << value;
        },
        code);
  };
  const std::string key = "config.json: key 'quantization_config.";
  const auto unsupported = [&](const std::string& value) { return read(value, ErrorCode::unsupported); };
  EXPECT_EQ(
      unsupported(R"({"quant_method": "gptq", "bits": 4, "checkpoint_format": "marlin"})"),
      key +
          "checkpoint_format' is 'marlin', expected 'gptq' or 'gptq_v2'; export the unquantized checkpoint");
  EXPECT_EQ(unsupported(R"({"quant_method": "gptq", "bits": 5})"),
            key + "bits' is 5, expected 2, 3, 4 or 8; export the unquantized checkpoint");
  EXPECT_EQ(unsupported(R"({"quant_method": "gptq", "bits": 4, "pack_dtype": "int16"})"),
            key + "pack_dtype' is 'int16', expected 'int32'; export the unquantized checkpoint");
  EXPECT_EQ(read(R"({"quant_method": "gptq", "bits": 4, "group_size": 0})", ErrorCode::bad_config),
            key + "group_size' is 0, expected a positive integer or -1");
  EXPECT_EQ(unsupported(R"({"quant_method": "awq", "version": "gemv_fast"})"),
            key + "version' is 'gemv_fast', expected 'gemm' or 'gemv'; export the unquantized checkpoint");
  EXPECT_EQ(unsupported(R"({"quant_method": "awq", "backend": "llm-awq"})"),
            key + "backend' is 'llm-awq', expected 'autoawq'; export the unquantized checkpoint");
  EXPECT_EQ(unsupported(R"({"quant_method": "awq", "bits": 8})"),
            key + "bits' is 8, expected 4; export the unquantized checkpoint");
  EXPECT_EQ(unsupported(R"({"quant_method": "awq", "zero_point": false})"),
            key + "zero_point' is false, expected true; export the unquantized checkpoint");
  const auto group = [](const std::string& format, const std::string& weights, const std::string& more = "") {
    return R"({"quant_method": "compressed-tensors", "format": ")" + format +
           R"(", "config_groups": {"g": {"targets": ["Linear"], "weights": )" + weights + "}}" + more + "}";
  };
  for (const char* format :
       {"nvfp4-pack-quantized", "mxfp4-pack-quantized", "marlin-24", "mixed-precision"}) {
    EXPECT_EQ(
        unsupported(group(format, "{}")),
        fmt::format(
            "config.json: 'quantization_config.config_groups.g' has the format '{}', expected "
            "'pack-quantized', 'int-quantized', 'float-quantized', 'naive-quantized' or 'dense'; export "
            "the unquantized checkpoint",
            format));
  }
  EXPECT_EQ(unsupported(group("pack-quantized", R"({"num_bits": 9})")),
            key + "config_groups.g.weights.num_bits' is 9, expected 1 to 8");
  EXPECT_EQ(unsupported(group("pack-quantized", R"({"rotation": 1})")),
            key + "config_groups.g.weights.rotation' is not known; export the unquantized checkpoint");
  EXPECT_EQ(
      unsupported(group("pack-quantized", R"({"strategy": "token"})")),
      key +
          "config_groups.g.weights.strategy' is \"token\", expected 'tensor', 'channel', 'group' or 'block'");
  EXPECT_EQ(
      read(group("pack-quantized", R"({"strategy": "group"})"), ErrorCode::bad_config),
      key +
          "config_groups.g.weights.group_size' is missing, expected a positive integer for the strategy "
          "'group'");
  EXPECT_EQ(
      unsupported(group("dense", "{}", R"(, "quantization_status": "frozen")")),
      key +
          "quantization_status' is \"frozen\", expected 'compressed': the original rounds these weights each "
          "time it runs");
  EXPECT_NE(unsupported(group("dense", "{}", R"(, "sparsity_config": {"format": "sparse-bitmask"})"))
                .find("the format 'dense'"),
            std::string::npos);
  EXPECT_NE(unsupported(group("dense", "{}", R"(, "transform_config": {"config_groups": {"r": {}}})"))
                .find("expected no transforms"),
            std::string::npos);
  EXPECT_EQ(unsupported(group("dense", "{}", R"(, "transform_config": {"config_groups": {}})")), "no error");
  EXPECT_NE(read(R"({"quant_method": "compressed-tensors"})", ErrorCode::bad_config)
                .find("config_groups' is missing"),
            std::string::npos);
}

}  // namespace
}  // namespace onnxport::test
