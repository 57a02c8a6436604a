// `diff`: two files of any producers.
#include "onnxport/diff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "onnx_model.h"
#include "onnxport/dtype.h"
#include "run_program.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
constexpr std::int32_t kFloat = onnx::TensorProto::FLOAT;

std::vector<float> transposed(const std::vector<float>& values, std::size_t rows, std::size_t columns) {
  std::vector<float> result(values.size());
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t k = 0; k < columns; ++k) result[k * rows + i] = values[i * columns + k];
  }
  return result;
}

class Diff : public testing::Test {
 protected:
  Diff() : weight_(some_floats(24, 1)), bias_(some_floats(4, 2)) {}

  // y = x W + b, with x [rows, 6]: as a Gemm, whose weight may be stored as [out, in].
  onnx::ModelProto gemm(bool stored_transposed, const std::string& weight, const std::string& rows) const {
    onnx::ModelProto model = make_model();
    onnx::GraphProto& graph = *model.mutable_graph();
    add_value(*graph.add_input(), "x", rows, 6);
    add_value(*graph.add_output(), "y", rows, 4);
    if (stored_transposed) {
      add_tensor(graph, weight, {4, 6}, transposed(weight_, 6, 4));
    } else {
      add_tensor(graph, weight, {6, 4}, weight_);
    }
    add_tensor(graph, "bias", {4}, bias_);
    set_int(add_node(graph, "Gemm", {"x", weight, "bias"}, "y"), "transB", stored_transposed ? 1 : 0);
    return model;
  }

  static void add_value(onnx::ValueInfoProto& value, const std::string& name, const std::string& rows,
                        std::int64_t columns) {
    set_value(value, name, kFloat, {1, columns});
    value.mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(0)->set_dim_param(rows);
  }

  FileDiff diff(const onnx::ModelProto& a, const onnx::ModelProto& b, const DiffOptions& options = {}) const {
    write_model(a, a_);
    write_model(b, b_);
    return diff_files(a_, b_, options);
  }

  TempFolder folder_;
  fs::path a_ = folder_.path() / "a" / "model.onnx", b_ = folder_.path() / "b" / "model.onnx";
  std::vector<float> weight_, bias_;
};

TEST_F(Diff, TheSameFile) {
  const FileDiff result = diff(gemm(false, "weight", "rows"), gemm(false, "weight", "rows"));
  EXPECT_TRUE(result.identical());
  EXPECT_EQ(result.weights.same, 2U);
  ASSERT_EQ(result.cases.size(), 2U);  // two numbers of rows
  EXPECT_EQ(result.cases[0].outputs[0].max_difference, 0);
}

TEST_F(Diff, OtherNamesFormsAndAxesAreInterchangeable) {
  const FileDiff result = diff(gemm(false, "weight", "batch_size"), gemm(true, "onnx::Gemm_7", "N"));
  EXPECT_TRUE(result.interchangeable());
  EXPECT_FALSE(result.identical());
  ASSERT_EQ(result.weights.transposed.size(), 1U);
  EXPECT_EQ(result.weights.transposed[0], (TextDiff{"", "weight", "onnx::Gemm_7"}));
  EXPECT_TRUE(result.weights.same_values());
  ASSERT_EQ(result.values.size(), 2U);
  EXPECT_TRUE(result.values[0].only_axis_names);
  EXPECT_EQ(result.values[0].a, "float32[batch_size, 6]");
}

TEST_F(Diff, ChangedValuesAreFoundWithAndWithoutRunning) {
  const onnx::ModelProto model = gemm(false, "weight", "rows");
  weight_[5] += 0.25F;
  const onnx::ModelProto changed = gemm(false, "weight", "rows");
  const FileDiff result = diff(model, changed);
  EXPECT_FALSE(result.interchangeable());
  ASSERT_EQ(result.weights.changed.size(), 1U);
  EXPECT_NEAR(result.weights.changed[0].max_difference, 0.25, 1e-6);
  EXPECT_FALSE(result.cases[0].outputs[0].passed);
  EXPECT_TRUE(diff(model, changed, {.atol = 1}).interchangeable());
  EXPECT_FALSE(diff(model, changed, {.run = false}).interchangeable());
  EXPECT_TRUE(diff(model, model, {.run = false}).interchangeable());
}

TEST_F(Diff, AWeightThatIsStoredTwiceIsNoDifference) {
  onnx::ModelProto twice = gemm(false, "weight", "rows");
  add_tensor(*twice.mutable_graph(), "copy", {4, 6}, transposed(weight_, 6, 4));
  add_node(*twice.mutable_graph(), "Identity", {"copy"}, "unused");
  const FileDiff result = diff(gemm(false, "weight", "rows"), twice);
  EXPECT_TRUE(result.weights.only_b.empty());
  EXPECT_EQ(result.weights.transposed.size(), 1U);
}

TEST_F(Diff, InterfacesOpsetsAndOperators) {
  onnx::ModelProto other = gemm(false, "weight", "rows");
  other.mutable_opset_import(0)->set_version(18);
  onnx::GraphProto& graph = *other.mutable_graph();
  add_value(*graph.add_output(), "z", "rows", 4);
  add_node(graph, "Relu", {"y"}, "z");
  const FileDiff result = diff(gemm(false, "weight", "rows"), other);
  EXPECT_FALSE(result.interchangeable());
  ASSERT_EQ(result.values.size(), 1U);
  EXPECT_TRUE(result.values[0].output);
  EXPECT_EQ(result.values[0].a, "");
  EXPECT_EQ(result.opsets, (std::vector<TextDiff>{{"ai.onnx", "17", "18"}}));
  const auto relu = std::ranges::find(result.ops, "Relu", &CountDiff::name);
  ASSERT_NE(relu, result.ops.end());
  EXPECT_EQ(relu->b, 1U);
  EXPECT_TRUE(result.cases[0].outputs[0].passed);  // of y, which both have
}

TEST_F(Diff, WeightsInAnotherTypeAndInExternalData) {
  const onnx::ModelProto model = gemm(false, "weight", "rows");
  write_model(model, a_);
  // The same weight as float16 in a file of its own, under the name of this program.
  onnx::ModelProto other = gemm(false, "weight", "rows");
  const std::vector<double> values(weight_.begin(), weight_.end());
  const Tensor half = Tensor::from_doubles(DType::f16, {6, 4}, values);
  onnx::TensorProto& stored = *other.mutable_graph()->mutable_initializer(0);
  stored.set_name("weight.fp16");
  stored.set_data_type(onnx::TensorProto::FLOAT16);
  stored.clear_raw_data();
  stored.set_data_location(onnx::TensorProto::EXTERNAL);
  onnx::StringStringEntryProto& entry = *stored.add_external_data();
  entry.set_key("location");
  entry.set_value("data.bin");
  write_model(other, b_);
  std::ofstream(b_.parent_path() / "data.bin", std::ios::binary)
      .write(reinterpret_cast<const char*>(half.data.data()), static_cast<std::streamsize>(half.data.size()));
  const WeightsDiff result = diff_weights(a_, b_);
  ASSERT_EQ(result.changed.size(), 1U);
  EXPECT_EQ(result.changed[0].type_b, "float16[6, 4]");
  EXPECT_LT(result.changed[0].max_difference, 1e-3);
  EXPECT_GT(result.changed[0].max_difference, 0);
  EXPECT_EQ(result.same, 1U);
}

TEST_F(Diff, ExitStatusAndJson) {
  const FileDiff made = diff(gemm(false, "weight", "rows"), gemm(true, "other", "rows"));
  ASSERT_TRUE(made.interchangeable());
  const std::string a = a_.string(), b = b_.string();
  EXPECT_EQ(run_program({"diff", a, b}).status, 0);
  EXPECT_EQ(run_program({"diff", a, b, "--strict"}).status, 1);
  EXPECT_EQ(run_program({"diff", a, b, "--no-run", "-q"}).out, "");
  const ProgramResult timed = run_program({"diff", a, b, "--time", "--seconds", "0", "--json"});
  EXPECT_EQ(timed.status, 0);
  const auto report = parse_json<nlohmann::json>(timed.out);
  EXPECT_TRUE(report["same"].get<bool>());
  EXPECT_EQ(report["files"][0]["weights"]["transposed"].size(), 1U);
  EXPECT_GT(report["files"][0]["time_b"]["p50"].get<double>(), 0);

  // Folders: a file without a partner is a difference.
  const std::string first = a_.parent_path().string(), second = b_.parent_path().string();
  EXPECT_EQ(run_program({"diff", first, second}).status, 0);
  fs::copy_file(b_, b_.parent_path() / "more.onnx");
  const ProgramResult folders = run_program({"diff", first, second});
  EXPECT_EQ(folders.status, 1);
  EXPECT_NE(folders.out.find("only in B: " + (b_.parent_path() / "more.onnx").string()), std::string::npos);

  expect_failure(run_program({"diff", a, second}), 2, {"expected two .onnx files or two folders"});
  expect_failure(run_program({"diff", a, b + "x"}), 7, {"there is no"});
  onnx::ModelProto broken = gemm(false, "weight", "rows");
  broken.mutable_graph()->mutable_node(0)->set_op_type("Nothing");
  write_model(broken, b_);
  expect_failure(run_program({"diff", a, b}), 9, {"not compared", "Nothing"});
}

}  // namespace
}  // namespace onnxport::test
