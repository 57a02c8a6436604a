// What `onnxruntime quantize` refuses, and `onnxruntime optimize`.
#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "onnx_model.h"
#include "run_program.h"
#include "support/file.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;
using nlohmann::json;
constexpr int kUsage = 2, kConfig = 3, kCheckpoint = 4, kUnsupported = 5, kIo = 7;

class OnnxruntimeCommand : public testing::Test {
 protected:
  OnnxruntimeCommand() { write_model(model(), input_ / "model.onnx"); }

  static onnx::ModelProto model(std::int64_t opset = 17, std::int32_t type = onnx::TensorProto::FLOAT) {
    onnx::ModelProto made = make_model(opset);
    onnx::GraphProto& graph = *made.mutable_graph();
    add_tensor(graph, "w", {32, 32}, some_floats(1024, 1));
    if (type == onnx::TensorProto::FLOAT16) {
      graph.mutable_initializer(0)->set_data_type(type);
      graph.mutable_initializer(0)->mutable_raw_data()->resize(2048);
    }
    add_node(graph, "MatMul", {"x", "w"}, "y");
    set_value(*graph.add_input(), "x", type, {2, 32});
    set_value(*graph.add_output(), "y", type, {2, 32});
    return made;
  }

  ProgramResult quantize(const Strings& more = {"--avx2"}) const {
    Strings arguments = {"onnxruntime", "quantize", "--onnx_model", input_.string(), "-o", output_.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  }

  /// The output folder is not even made.
  void expect_refused(const ProgramResult& result, int status, const Strings& words) const {
    expect_failure(result, status, words);
    EXPECT_FALSE(fs::exists(output_));
  }

  std::string write_config(const json& quantization) const {
    std::ofstream(folder_.path() / "ort_config.json") << json{{"quantization", quantization}}.dump();
    return (folder_.path() / "ort_config.json").string();
  }

  TempFolder folder_;
  fs::path input_ = folder_.path() / "in", output_ = folder_.path() / "out";
};

TEST_F(OnnxruntimeCommand, QuantizesAFolder) {
  std::ofstream(input_ / "config.json") << R"({"model_type": "bert"})";
  std::ofstream(input_ / "tokenizer.json") << "{}";
  fs::copy(input_ / "model.onnx", input_ / "decoder_model.onnx");
  const ProgramResult result = quantize({"--arm64", "--per_channel", "--json"});
  ASSERT_EQ(result.status, 0) << result.err;
  for (const char* name :
       {"config.json", "tokenizer.json", "model_quantized.onnx", "decoder_model_quantized.onnx"})
    EXPECT_TRUE(fs::exists(output_ / name)) << name;
  const json report = parse_json<json>(result.out);
  ASSERT_EQ(report["files"].size(), 2U);
  EXPECT_EQ(report["files"][1]["quantized_nodes"], (json{{"MatMul", 1}}));
  EXPECT_EQ(report["files"][1]["path"], (output_ / "model_quantized.onnx").string());
  // As Optimum 2.1 writes it.
  EXPECT_EQ(read_text_file(output_ / "ort_config.json"), R"({
  "one_external_file": true,
  "opset": null,
  "optimization": {},
  "quantization": {
    "activations_dtype": "QUInt8",
    "activations_symmetric": false,
    "format": "QOperator",
    "is_static": false,
    "mode": "IntegerOps",
    "nodes_to_exclude": [],
    "nodes_to_quantize": [],
    "operators_to_quantize": [
      "Conv",
      "MatMul",
      "Attention",
      "LSTM",
      "Gather",
      "Transpose",
      "EmbedLayerNormalization"
    ],
    "per_channel": true,
    "qdq_add_pair_to_weight": false,
    "qdq_dedicated_pair": false,
    "qdq_op_type_per_channel_support_to_axis": {
      "MatMul": 1
    },
    "reduce_range": false,
    "weights_dtype": "QInt8",
    "weights_symmetric": true
  },
  "use_external_data_format": false
}
)");
  // Such a file can be given back, here the folder that holds it.
  const fs::path again = folder_.path() / "again";
  const ProgramResult second =
      run_program({"onnxruntime", "quantize", "--onnx_model", (input_ / "model.onnx").string(), "-o",
                   again.string(), "-c", output_.string()});
  EXPECT_EQ(second.status, 0) << second.err;
  EXPECT_EQ(read_text_file(again / "model_quantized.onnx"), read_text_file(output_ / "model_quantized.onnx"));
  EXPECT_FALSE(fs::exists(again / "decoder_model_quantized.onnx"));
}

TEST_F(OnnxruntimeCommand, Arguments) {
  expect_refused(quantize({}), kUsage, {"--arm64"});
  expect_refused(quantize({"--arm64", "--avx2"}), kUsage, {"--arm64"});
  expect_refused(quantize({"--tensorrt"}), kUnsupported, {"--tensorrt", "static", "calibration"});
  const std::string config = write_config({{"is_static", false}, {"mode", "IntegerOps"}});
  expect_refused(quantize({"-c", config, "--per_channel"}), kUsage, {"--per_channel", "per_channel"});
  const ProgramResult same = run_program({"onnxruntime", "quantize", "--onnx_model", input_.string(), "-o",
                                          (folder_.path() / "x" / ".." / "in").string(), "--avx2"});
  expect_failure(same, kUsage, {"another folder"});
  EXPECT_FALSE(fs::exists(input_ / "model_quantized.onnx"));
}

TEST_F(OnnxruntimeCommand, Configs) {
  const auto refused = [&](const json& values, int status, const Strings& words) {
    expect_refused(quantize({"-c", write_config(values)}), status, words);
  };
  refused({{"is_static", true}}, kUnsupported, {"is_static", "calibration"});
  refused({{"is_static", false}, {"mode", "QLinearOps"}}, kUnsupported, {"mode", "QLinearOps", "IntegerOps"});
  refused({{"weights_dtype", "QInt4"}}, kUnsupported, {"weights_dtype", "QInt4"});
  refused({{"activations_dtype", "QInt8"}}, kUnsupported, {"activations_dtype"});
  refused({{"per_chanel", true}}, kConfig, {"per_chanel", "per_channel"});
  refused({{"per_channel", "yes"}}, kConfig, {"per_channel", "yes"});
  refused({{"operators_to_quantize", {"MatMul", "Relu"}}}, kUnsupported, {"Relu", "MatMul"});
  refused(json::object(), kConfig, {"quantization"});
  expect_refused(quantize({"-c", (folder_.path() / "none.json").string()}), kConfig, {"none.json"});
}

TEST_F(OnnxruntimeCommand, ModelsThatCannotBeQuantized) {
  write_model(model(17, onnx::TensorProto::FLOAT16), input_ / "model.onnx");
  expect_refused(quantize(), kUnsupported, {"model.onnx", "'x'", "float16", "--dtype fp32"});
  write_model(model(10), input_ / "model.onnx");
  expect_refused(quantize(), kUnsupported, {"model.onnx", "opset 10", "11"});
  onnx::ModelProto infinite = model();
  const float value = std::numeric_limits<float>::infinity();
  infinite.mutable_graph()->mutable_initializer(0)->mutable_raw_data()->replace(
      400, 4, reinterpret_cast<const char*>(&value), 4);
  write_model(infinite, input_ / "model.onnx");
  expect_refused(quantize(), kCheckpoint, {"model.onnx", "'w'"});
}

TEST_F(OnnxruntimeCommand, QuantizedTwice) {
  ASSERT_EQ(quantize().status, 0);
  const fs::path again = folder_.path() / "again";
  const ProgramResult result = run_program(
      {"onnxruntime", "quantize", "--onnx_model", output_.string(), "-o", again.string(), "--avx2"});
  expect_failure(result, kUnsupported,
                 {"model_quantized.onnx", "quantized already", "DynamicQuantizeLinear"});
  EXPECT_FALSE(fs::exists(again));
}

TEST_F(OnnxruntimeCommand, BrokenFiles) {
  const std::string whole = read_text_file(input_ / "model.onnx");
  for (const std::size_t size : {whole.size() / 2, whole.size() - 1, std::size_t{3}}) {
    std::ofstream(input_ / "model.onnx", std::ios::binary) << whole.substr(0, size);
    expect_refused(quantize(), kIo, {"model.onnx"});
  }
  std::ofstream(input_ / "model.onnx", std::ios::binary) << "version https://git-lfs.github.com/spec/v1\n";
  expect_refused(quantize(), kIo, {"model.onnx", "not an onnx model"});
  fs::remove(input_ / "model.onnx");
  expect_refused(quantize(), kIo, {"no .onnx file"});
  fs::create_directory(input_ / "onnx");
  expect_refused(quantize(), kIo, {"did you mean", "in/onnx"});
  fs::remove_all(input_);
  expect_refused(quantize(), kIo, {"there is no"});
}

TEST_F(OnnxruntimeCommand, BrokenExternalData) {
  const auto refer = [&](const std::string& location, const std::string& offset, const std::string& length) {
    onnx::ModelProto made = model();
    onnx::TensorProto& tensor = *made.mutable_graph()->mutable_initializer(0);
    tensor.clear_raw_data();
    tensor.set_data_location(onnx::TensorProto::EXTERNAL);
    for (const auto& [key, value] : std::vector<std::pair<std::string, std::string>>{
             {"location", location}, {"offset", offset}, {"length", length}}) {
      auto& entry = *tensor.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    }
    write_model(made, input_ / "model.onnx");
  };
  refer("model.onnx_data", "0", "4096");
  expect_refused(quantize(), kIo, {"model.onnx_data", "missing"});
  std::ofstream(input_ / "model.onnx_data", std::ios::binary) << std::string(4000, '\0');
  expect_refused(quantize(), kIo, {"model.onnx_data", "'w'", "truncated"});
  refer("model.onnx_data", "0", "400");
  expect_refused(quantize(), kIo, {"'w'", "400", "4096"});
  refer("model.onnx_data", "-1", "4096");
  expect_refused(quantize(), kIo, {"w", "-1"});
  refer("../model.onnx_data", "0", "4096");
  expect_refused(quantize(), kIo, {"'w'", "../model.onnx_data", "folder"});
}

TEST_F(OnnxruntimeCommand, OptimizeNamesTheExportCommand) {
  const auto optimize = [&](const Strings& more) {
    Strings arguments = {"onnxruntime", "optimize", "--onnx_model", input_.string(), "-o", output_.string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  };
  expect_refused(optimize({"-O2"}), kUnsupported,
                 {"onnxport export onnx --model MODEL --optimize O2 " + output_.string()});
  std::ofstream(input_ / "config.json") << R"({"_name_or_path": "my models/bert"})";
  expect_refused(optimize({"-O4"}), kUnsupported, {"--model 'my models/bert' --optimize O4"});
  std::ofstream(folder_.path() / "ort_config.json")
      << R"({"optimization": {"optimization_level": 2, "enable_gelu_approximation": true}})";
  expect_refused(optimize({"-c", folder_.path().string()}), kUnsupported, {"--optimize O3"});
  expect_refused(optimize({}), kUsage, {"-O"});
  expect_refused(optimize({"-O5"}), kUsage, {"5"});
}

}  // namespace
}  // namespace onnxport::test
