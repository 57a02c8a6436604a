// Models whose weights are GPTQ, AWQ, compressed-tensors or bitsandbytes become the files of their
// dequantized copies, or keep their codes. Both pass validation.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "errors.h"
#include "golden_fixture.h"
#include "onnxport/export.h"
#include "onnxport/inspect.h"
#include "packed_made.h"
#include "raw_tensors.h"
#include "support/dtype_names.h"
#include "support/file.h"
#include "support/float16.h"
#include "support/json.h"
#include "support/quantize_bnb4.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

struct Method {
  const char* name;
  Made (*make)(const std::string& path, const Tensor& tensor);
  const char* config;
  const char* op;    ///< of layers that keep their codes; empty: none does
  bool needs_f32;    ///< the op takes no half precision
  const char* lost;  ///< why the weights become floats where they do
};

class PackedModel : public testing::TestWithParam<Method> {
 protected:
  /// Writes the fixture with quantized weights to `quantized`, and their values to `dequantized`.
  void write(const fs::path& original) {
    std::vector<Raw> codes, values;
    for (const auto& [key, tensor] : read_safetensors(original / "model.safetensors")) {
      const Raw plain{key, std::string(safetensors_name(tensor.dtype)), tensor.shape, tensor.data};
      if (!key.ends_with("_proj.weight") || tensor.shape[0] % 8 != 0 || tensor.shape[1] % 16 != 0) {
        codes.push_back(plain);
        values.push_back(plain);
        continue;
      }
      const Made made = GetParam().make(key.substr(0, key.size() - 7), tensor);
      codes.insert(codes.end(), made.tensors.begin(), made.tensors.end());
      std::vector<std::uint16_t> halves;
      for (const float value : made.values) halves.push_back(f16_from_float(value));
      values.push_back(
          {key, made.dtype, tensor.shape, made.dtype == "F16" ? bytes_of(halves) : bytes_of(made.values)});
    }
    json config = parse_json<json>(read_text_file(original / "config.json"));
    for (const auto& [name, tensors] : {std::pair("dequantized", &values), std::pair("quantized", &codes)}) {
      fs::create_directories(folder_.path() / name);
      write_raw(folder_.path() / name / "model.safetensors", *tensors);
      std::ofstream(folder_.path() / name / "config.json") << config.dump();
      config["quantization_config"] = parse_json<json>(GetParam().config);
    }
  }

  TempFolder folder_;
};

TEST_P(PackedModel, ExportsAsItsDequantizedCopy) {
  synthesize(read_fixture("llama/text-generation-with-past"), folder_.path() / "original");
  write(folder_.path() / "original");
  for (const char* dtype : {"fp32", "fp16"}) {
    std::map<std::string, std::string> written;
    for (const char* name : {"quantized", "dequantized", "original"}) {
      const fs::path to = folder_.path() / dtype / name;
      const MainExportOptions options{
          .model = folder_.path() / name, .output = to, .task = "text-generation-with-past", .dtype = dtype};
      EXPECT_TRUE(main_export(options).passed()) << name;
      written[name] = read_text_file(to / "model.onnx");
    }
    EXPECT_TRUE(written["quantized"] == written["dequantized"]) << "the same weights give other files";
    EXPECT_FALSE(written["quantized"] == written["original"]) << "no weight is quantized";
  }
}

std::map<std::string, int> count_ops(const fs::path& file) {
  std::map<std::string, int> count;
  for (const NodeSummary& node : summarize(file).graph.nodes) ++count[node.op_type];
  return count;
}

TEST_P(PackedModel, KeepsItsCodes) {
  constexpr int kLayers = 8;  // q, k, v and o of two layers; others do not fit the methods
  synthesize(read_fixture("llama/text-generation-with-past"), folder_.path() / "original");
  write(folder_.path() / "original");
  for (const char* dtype : {"fp32", "fp16"}) {
    const fs::path to = folder_.path() / dtype;
    MainExportOptions options{.model = folder_.path() / "quantized",
                              .output = to,
                              .task = "text-generation-with-past",
                              .dtype = dtype,
                              .recipe = {.scheme = KeepRecipe{}}};
    std::string notices;
    options.export_options.on_notice = [&](const std::string& text) { notices += text + "\n"; };
    const ExportReport report = main_export(options);
    for (const ValidationReport& file : report.validation) EXPECT_TRUE(file.passed()) << to_string(file);
    const bool kept = *GetParam().op != 0 && (!GetParam().needs_f32 || std::string(dtype) == "fp32");
    ASSERT_EQ(report.quantization.size(), 1U);
    EXPECT_EQ(report.quantization[0].layers, kept ? kLayers : 0);
    const std::map<std::string, int> ops = count_ops(to / "model.onnx");
    EXPECT_EQ(notices.find("8 quantized weights become floats") != std::string::npos, !kept) << notices;
    EXPECT_EQ(notices.find(GetParam().lost) != std::string::npos, !kept) << notices;
    EXPECT_EQ(ops.contains("MatMulNBits") || ops.contains("MatMulBnb4"), kept);
    EXPECT_EQ(notices.find("rounded once more"), std::string::npos) << notices;
    if (kept) EXPECT_EQ(ops.at(GetParam().op), kLayers);
  }
}

TEST(KeptModel, NeedsQuantizedWeights) {
  const TempFolder folder;
  synthesize(read_fixture("llama/text-generation-with-past"), folder.path() / "original");
  const MainExportOptions options{.model = folder.path() / "original",
                                  .output = folder.path() / "out",
                                  .task = "text-generation-with-past",
                                  .recipe = {.scheme = KeepRecipe{}}};
  EXPECT_EQ(complaint(ErrorCode::invalid_argument, [&] { main_export(options); }),
            "--quantize keep: the checkpoint has no quantized weights; use --quantize q4");
  EXPECT_FALSE(fs::exists(folder.path() / "out" / "model.onnx"));
}

TEST(KeptModel, RoundsFloatsOf8BitsOnce) {
  const TempFolder folder;
  const fs::path checkpoint = folder.path() / "checkpoint";
  synthesize(read_fixture("llama/text-generation-with-past"), checkpoint);
  std::vector<Raw> stored;
  std::size_t count = 0;
  for (const auto& [key, tensor] : read_safetensors(checkpoint / "model.safetensors")) {
    Raw raw{key, std::string(safetensors_name(tensor.dtype)), tensor.shape, tensor.data};
    if (key.ends_with("q_proj.weight") || key.ends_with("o_proj.weight")) {
      raw.dtype = "F8_E4M3";
      raw.bytes.resize(static_cast<std::size_t>(tensor.numel()));
      for (std::size_t i = 0; i < raw.bytes.size(); ++i)
        raw.bytes[i] = static_cast<std::byte>(i * 37 % 0x28 + (i % 3 == 0 ? 0x80 : 0));  // at most 0.25
      ++count;
    }
    stored.push_back(std::move(raw));
  }
  write_raw(checkpoint / "model.safetensors", stored);
  MainExportOptions options{.model = checkpoint,
                            .output = folder.path() / "out",
                            .task = "text-generation-with-past",
                            .recipe = {.scheme = KeepRecipe{}}};
  std::string notices;
  options.export_options.on_notice = [&](const std::string& text) { notices += text + "\n"; };
  const ExportReport report = main_export(options);
  EXPECT_TRUE(report.passed());
  ASSERT_EQ(report.quantization.size(), 1U);
  EXPECT_EQ(report.quantization[0].layers, static_cast<std::int64_t>(count));
  EXPECT_EQ(count_ops(folder.path() / "out" / "model.onnx").at("MatMulNBits"), static_cast<int>(count));
  EXPECT_NE(notices.find("rounded to 8 bits in blocks of 32"), std::string::npos) << notices;
}

Made gptq_in_blocks(const std::string& path, const Tensor& tensor) { return gptq(path, tensor, 16); }
Made gptq_small(const std::string& path, const Tensor& tensor) { return gptq(path, tensor, 8); }
Made nf4(const std::string& path, const Tensor& tensor) {
  const auto& values = bnb4_values(Bnb4Type::nf4);
  return bitsandbytes_4bit(path, tensor, std::vector<float>(values.begin(), values.end()));
}
Made sine4(const std::string& path, const Tensor& tensor) {
  return bitsandbytes_4bit(path, tensor, sine_table());
}

constexpr const char* kGptq8 = R"({"quant_method": "gptq", "bits": 4, "group_size": 8, "desc_act": true})";
constexpr const char* kGptq16 = R"({"quant_method": "gptq", "bits": 4, "group_size": 16, "desc_act": true})";
constexpr const char* kAwq = R"({"quant_method": "awq", "bits": 4, "group_size": 16, "version": "gemm"})";
constexpr const char* kPack = R"({"quant_method": "compressed-tensors", "format": "pack-quantized",
    "config_groups": {"group_0":
        {"targets": ["Linear"], "weights": {"num_bits": 4, "strategy": "group", "group_size": 16}}}})";
constexpr const char* kInt8 = R"({"quant_method": "compressed-tensors", "format": "int-quantized",
    "config_groups": {"group_0":
        {"targets": ["re:.*_proj"], "weights": {"num_bits": 8, "strategy": "channel"}}}})";
constexpr const char* k8bit = R"({"quant_method": "bitsandbytes", "load_in_8bit": true})";
constexpr const char* k4bit = R"({"quant_method": "bitsandbytes", "load_in_4bit": true})";

INSTANTIATE_TEST_SUITE_P(
    Methods, PackedModel,
    testing::Values(Method{"gptq", gptq_small, kGptq8, "", false, "groups of inputs that do not fill"},
                    Method{"gptq_in_blocks", gptq_in_blocks, kGptq16, "MatMulNBits", false, "groups"},
                    Method{"awq", awq, kAwq, "MatMulNBits", false, "groups"},
                    Method{"compressed_pack", compressed_pack, kPack, "MatMulNBits", false, "groups"},
                    Method{"compressed_int8", compressed_int8, kInt8, "MatMulNBits", false, "groups"},
                    Method{"bitsandbytes_8bit", bitsandbytes_8bit, k8bit, "MatMulNBits", false, "groups"},
                    Method{"bitsandbytes_4bit", sine4, k4bit, "", false, "neither NF4 nor FP4"},
                    Method{"bitsandbytes_nf4", nf4, k4bit, "MatMulBnb4", true, "takes only float32"}),
    [](const auto& method) { return std::string(method.param.name); });

}  // namespace
}  // namespace onnxport::test
