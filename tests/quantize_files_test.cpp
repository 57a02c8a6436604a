// `onnxruntime quantize` on .onnx files. tests/clients/ortquantizer compares with the onnxruntime package.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "onnx_model.h"
#include "onnxport/onnx_files.h"
#include "onnxport/tensor.h"
#include "runtime/session.h"
#include "support/file.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;
constexpr std::int32_t kFloat = onnx::TensorProto::FLOAT;
// Products of uint8 and int8 saturate in ONNX Runtime on some processors, those of uint8 do not.
const DynamicQuantization kUnsigned = {.weight_dtype = DType::u8};

class QuantizeFiles : public testing::Test {
 protected:
  std::vector<QuantizedModelFile> quantize(const DynamicQuantization& how = {}) {
    notices_.clear();
    return quantize_onnx_files({.onnx_model = input_,
                                .output = output_,
                                .quantization = how,
                                .on_notice = [this](const std::string& text) { notices_.push_back(text); }});
  }
  onnx::ModelProto result() const { return read_model(output_ / "model_quantized.onnx"); }

  /// The largest difference between the outputs of the model and of its quantized form, and the largest
  /// output.
  std::pair<double, double> difference(const NamedTensors& inputs) const {
    const NamedTensors before = runtime::Session(input_ / "model.onnx").run(inputs);
    const NamedTensors after = runtime::Session(output_ / "model_quantized.onnx").run(inputs);
    double largest = 0, error = 0;
    for (std::size_t i = 0; i < before.size(); ++i) {
      EXPECT_EQ(before[i].second.shape, after.at(i).second.shape);
      const std::vector<double> a = before[i].second.to_doubles(), b = after[i].second.to_doubles();
      for (std::size_t k = 0; k < a.size(); ++k) {
        largest = std::max(largest, std::abs(a[k]));
        error = std::max(error, std::abs(a[k] - b[k]));
      }
    }
    return {error, largest};
  }

  static Tensor floats(const std::vector<std::int64_t>& shape, unsigned seed) {
    Tensor tensor(DType::f32, shape);
    const std::vector<float> values = some_floats(static_cast<std::size_t>(tensor.numel()), seed);
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    tensor.data.assign(bytes, bytes + tensor.data.size());
    return tensor;
  }

  TempFolder folder_;
  fs::path input_ = folder_.path() / "in", output_ = folder_.path() / "out";
  Strings notices_;
};

Strings op_types(const onnx::GraphProto& graph) {
  Strings types;
  for (const onnx::NodeProto& node : graph.node()) types.push_back(node.op_type());
  return types;
}

std::map<std::string, const onnx::TensorProto*> tensors_of(const onnx::GraphProto& graph) {
  std::map<std::string, const onnx::TensorProto*> tensors;
  for (const onnx::TensorProto& tensor : graph.initializer()) tensors[tensor.name()] = &tensor;
  return tensors;
}

/// y = x * w, with x [2, rows].
onnx::ModelProto matmul(const std::vector<float>& weight, std::int64_t rows, std::int64_t columns) {
  onnx::ModelProto model = make_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  add_tensor(graph, "w", {rows, columns}, weight);
  add_node(graph, "MatMul", {"x", "w"}, "y");
  set_value(*graph.add_input(), "x", kFloat, {2, rows});
  set_value(*graph.add_output(), "y", kFloat, {2, columns});
  return model;
}

TEST_F(QuantizeFiles, MatMulGetsIntegersAndTheNamesOfThePackage) {
  write_model(matmul({1.27F, -0.636F, 0.004F, 0, 0.016F, -1.27F}, 3, 2), input_ / "model.onnx");
  const std::vector<QuantizedModelFile> files = quantize();
  ASSERT_EQ(files.size(), 1U);
  EXPECT_EQ(files[0].nodes, (std::map<std::string, std::int64_t>{{"MatMul", 1}}));
  EXPECT_EQ(files[0].bytes, fs::file_size(files[0].path));
  const onnx::ModelProto model = result();
  EXPECT_EQ(op_types(model.graph()),
            (Strings{"DynamicQuantizeLinear", "MatMulInteger", "Cast", "Mul", "Mul"}));
  const onnx::NodeProto& product = model.graph().node(1);
  EXPECT_EQ(product.name(), "y/node_quant");
  EXPECT_EQ(Strings(product.input().begin(), product.input().end()),
            (Strings{"x_quantized", "w_quantized", "x_zero_point", "w_zero_point"}));
  const auto tensors = tensors_of(model.graph());
  ASSERT_EQ(tensors.size(), 3U);
  EXPECT_EQ(tensors.at("w_quantized")->data_type(), onnx::TensorProto::INT8);
  EXPECT_EQ(tensors.at("w_quantized")->raw_data(), std::string("\x7f\xc0\0\0\x02\x81", 6));
  EXPECT_EQ(tensors.at("w_zero_point")->raw_data(), std::string(1, '\0'));
  EXPECT_EQ(tensors.at("w_scale")->dims_size(), 0);
  EXPECT_EQ(notices_, Strings());
}

TEST_F(QuantizeFiles, ScalesOfChannels) {
  write_model(matmul({1.27F, -0.0127F, 0, 0.001F}, 2, 2), input_ / "model.onnx");
  quantize({.per_channel = true});
  const onnx::ModelProto model = result();
  const auto tensors = tensors_of(model.graph());
  EXPECT_EQ(tensors.at("w_scale")->dims(0), 2);
  EXPECT_EQ(tensors.at("w_quantized")->raw_data(), std::string("\x7f\x81\0\x0a", 4));
  EXPECT_EQ(tensors.at("w_zero_point")->raw_data(), std::string(2, '\0'));
}

/// logits = Gemm(table[ids], table transposed): the table is stored once and read in two ways.
TEST_F(QuantizeFiles, ATiedTableKeepsBothMeanings) {
  onnx::ModelProto model = make_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  add_tensor(graph, "table", {30, 24}, some_floats(30 * 24, 1));
  add_node(graph, "Gather", {"table", "ids"}, "words");
  set_int(add_node(graph, "Gemm", {"words", "table"}, "a"), "transB", 1);
  set_int(add_node(graph, "Gemm", {"words", "table"}, "b"), "transB", 1);
  add_node(graph, "Add", {"a", "b"}, "y");
  set_value(*graph.add_input(), "ids", onnx::TensorProto::INT64, {4});
  set_value(*graph.add_output(), "y", kFloat, {4, 30});
  write_model(model, input_ / "model.onnx");
  const auto files = quantize(kUnsigned);
  EXPECT_EQ(files[0].nodes, (std::map<std::string, std::int64_t>{{"Gather", 1}, {"MatMul", 2}}));
  const Tensor ids = Tensor::from_ints(DType::i64, {4}, std::vector<std::int64_t>{3, 0, 29, 11});
  const auto [error, largest] = difference({{"ids", ids}});
  EXPECT_GT(error, 0);
  EXPECT_LT(error, 0.02 * largest);
  EXPECT_EQ(tensors_of(result().graph()).count("table_Transposed_quantized"), 1U);
}

/// Large constants of a node and of a branch stay as they are; a value that is an integer outside of a
/// branch becomes a float again for it.
TEST_F(QuantizeFiles, Branches) {
  onnx::ModelProto model = make_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  add_tensor(graph, "table", {10, 40}, some_floats(400, 1));
  add_node(graph, "Gather", {"table", "ids"}, "words");
  onnx::GraphProto constant;
  add_tensor(constant, "k", {30, 40}, some_floats(1200, 2));
  onnx::AttributeProto& value = *add_node(graph, "Constant", {}, "k").add_attribute();
  value.set_name("value");
  value.set_type(onnx::AttributeProto::TENSOR);
  *value.mutable_t() = constant.initializer(0);
  onnx::NodeProto& branches = add_node(graph, "If", {"flag"}, "y");
  for (const char* name : {"then_branch", "else_branch"}) {
    onnx::AttributeProto& attribute = *branches.add_attribute();
    attribute.set_name(name);
    attribute.set_type(onnx::AttributeProto::GRAPH);
    onnx::GraphProto& branch = *attribute.mutable_g();
    branch.set_name(name);
    const bool yes = name == std::string("then_branch");
    add_tensor(branch, "inner", {30, 40}, some_floats(1200, yes ? 3 : 4));
    add_node(branch, "Add", {"inner", "k"}, "sum");
    add_node(branch, "Sub", {"sum", "words"}, "result");
    set_value(*branch.add_output(), "result", kFloat, {30, 40});
  }
  set_value(*graph.add_input(), "ids", onnx::TensorProto::INT64, {1});
  set_value(*graph.add_input(), "flag", onnx::TensorProto::BOOL, {});
  set_value(*graph.add_output(), "y", kFloat, {30, 40});
  write_model(model, input_ / "model.onnx");
  quantize();
  EXPECT_EQ(op_types(result().graph()), (Strings{"Gather", "Constant", "DequantizeLinear", "If"}));
  for (const std::byte flag : {std::byte{0}, std::byte{1}}) {
    Tensor choice(DType::boolean, {});
    choice.data = {flag};
    const Tensor ids = Tensor::from_ints(DType::i64, {1}, std::vector<std::int64_t>{7});
    const auto [error, largest] = difference({{"ids", ids}, {"flag", choice}});
    EXPECT_GT(error, 0);
    EXPECT_LT(error, 0.005) << largest;  // half a step of the table
  }
}

/// A weight that another node reads as floats, before and after it is quantized.
TEST_F(QuantizeFiles, AConstantThatIsAlsoReadAsFloats) {
  onnx::ModelProto model = matmul(some_floats(32 * 32, 1), 32, 32);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.clear_node();
  add_node(graph, "Abs", {"w"}, "before");
  add_node(graph, "MatMul", {"x", "w"}, "product");
  add_node(graph, "Neg", {"w"}, "after");
  add_node(graph, "MatMul", {"product", "before"}, "p");
  add_node(graph, "MatMul", {"p", "after"}, "y");
  write_model(model, input_ / "model.onnx");
  quantize({.weight_dtype = DType::u8, .per_channel = true});
  EXPECT_EQ(tensors_of(result().graph()).count("w"), 0U);
  const auto [error, largest] = difference({{"x", floats({2, 32}, 5)}});
  EXPECT_LT(error, 0.05 * largest);
}

TEST_F(QuantizeFiles, ExternalDataIsReadAndWritten) {
  const onnx::ModelProto model = matmul(some_floats(64 * 64, 1), 64, 64);
  write_model(model, input_ / "model.onnx");
  quantize();
  const std::string expected = tensors_of(result().graph()).at("w_quantized")->raw_data();
  onnx::ModelProto outside = model;
  onnx::TensorProto& tensor = *outside.mutable_graph()->mutable_initializer(0);
  std::ofstream(input_ / "weights.bin", std::ios::binary) << "xyz" << tensor.raw_data();
  tensor.clear_raw_data();
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] :
       std::map<std::string, std::string>{{"location", "weights.bin"}, {"offset", "3"}}) {
    auto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
  write_model(outside, input_ / "model.onnx");
  const auto inside = quantize();
  EXPECT_EQ(tensors_of(result().graph()).at("w_quantized")->raw_data(), expected);
  EXPECT_EQ(inside[0].source_bytes,
            fs::file_size(input_ / "model.onnx") + fs::file_size(input_ / "weights.bin"));
  const auto files = quantize_onnx_files(
      {.onnx_model = input_, .output = output_, .quantization = {}, .external_data = true});
  const fs::path data = output_ / "model_quantized.onnx_data";
  EXPECT_EQ(read_text_file(data).substr(0, expected.size()), expected);
  EXPECT_EQ(files[0].bytes, fs::file_size(files[0].path) + fs::file_size(data));
  quantize();
  EXPECT_FALSE(fs::exists(data)) << "stale data";
}

TEST_F(QuantizeFiles, SameInputSameBytes) {
  write_model(matmul(some_floats(64 * 64, 1), 64, 64), input_ / "model.onnx");
  quantize();
  const std::string first = read_text_file(output_ / "model_quantized.onnx");
  fs::remove_all(output_);
  quantize();
  EXPECT_EQ(read_text_file(output_ / "model_quantized.onnx"), first);
}

TEST_F(QuantizeFiles, NodesByName) {
  write_model(matmul(some_floats(16, 1), 4, 4), input_ / "model.onnx");
  EXPECT_TRUE(quantize({.excluded_nodes = {"y/node", "other"}})[0].nodes.empty());
  EXPECT_EQ(op_types(result().graph()), Strings{"MatMul"});
  ASSERT_EQ(notices_.size(), 2U);
  EXPECT_NE(notices_[0].find("no node has the name 'other'"), std::string::npos);
  EXPECT_NE(notices_[1].find("no node that can be quantized"), std::string::npos);
}

/// A file that uses names which the quantizer would give.
TEST_F(QuantizeFiles, TakenNames) {
  onnx::ModelProto model = matmul(some_floats(16, 1), 4, 4);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.clear_node();
  add_tensor(graph, "w_scale", {1}, {0.5F});
  add_node(graph, "Mul", {"x", "w_scale"}, "x_quantized");
  add_node(graph, "MatMul", {"x", "w"}, "a");
  add_node(graph, "MatMul", {"x_quantized", "w"}, "b");
  add_node(graph, "Add", {"a", "b"}, "y");
  write_model(model, input_ / "model.onnx");
  quantize(kUnsigned);
  const auto [error, largest] = difference({{"x", floats({2, 4}, 5)}});
  EXPECT_LT(error, 0.05 * largest);
}

}  // namespace
}  // namespace onnxport::test
