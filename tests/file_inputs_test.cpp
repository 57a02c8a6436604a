// Inputs that are made from the interface of a file alone, and timing of files.
#include "onnxport/file_inputs.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "golden_fixture.h"
#include "onnx_model.h"
#include "onnxport/bench.h"
#include "onnxport/error.h"
#include "onnxport/export.h"
#include "run_program.h"
#include "support/json.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;
using Ints = std::vector<std::int64_t>;

// A file that has these inputs and no nodes.
ModelSummary with_inputs(std::vector<ValueSummary> inputs) {
  ModelSummary model;
  model.graph.inputs = std::move(inputs);
  return model;
}

const Tensor& at(const FileInputs& inputs, const std::string& name) {
  const Tensor* tensor = find(inputs.tensors, name);
  if (tensor == nullptr) throw std::runtime_error("no input " + name);
  return *tensor;
}

ModelSummary decoder() {
  return with_inputs({{"input_ids", "int64", {"batch_size", "sequence_length"}},
                      {"attention_mask", "int64", {"batch_size", "past_sequence_length + sequence_length"}},
                      {"position_ids", "int64", {"batch_size", "sequence_length"}},
                      {"past_key_values.0.key", "float16", {"batch_size", "2", "past_sequence_length", "8"}},
                      {"use_cache_branch", "bool", {"1"}}});
}

TEST(FileInputs, SumsMasksPositionsAndTheBranchOfACache) {
  const FileInputs made =
      make_file_inputs(decoder(), {{"batch_size", 1}, {"sequence_length", 3}, {"past_sequence_length", 4}});
  EXPECT_EQ(at(made, "input_ids").shape, (Ints{1, 3}));
  EXPECT_EQ(at(made, "attention_mask").to_ints(), Ints(7, 1));
  EXPECT_EQ(at(made, "position_ids").to_ints(), (Ints{4, 5, 6}));
  EXPECT_EQ(at(made, "past_key_values.0.key").shape, (Ints{1, 2, 4, 8}));
  EXPECT_EQ(at(made, "past_key_values.0.key").dtype, DType::f16);
  EXPECT_EQ(at(made, "use_cache_branch").to_ints(), Ints{1});
  EXPECT_EQ(made.tokens, 3);
  EXPECT_EQ(made.sizes.at("past_sequence_length"), 4);
}

TEST(FileInputs, AnEmptyCacheSelectsTheOtherBranch) {
  const FileInputs made = make_file_inputs(decoder(), {{"past_sequence_length", 0}});
  EXPECT_EQ(at(made, "use_cache_branch").to_ints(), Ints{0});
  EXPECT_EQ(at(made, "position_ids").to_ints()[0], 0);
  EXPECT_EQ(at(made, "past_key_values.0.key").numel(), 0);
}

TEST(FileInputs, OneRowForAKernelThatTakesNoMore) {
  ModelSummary model = decoder();
  EXPECT_EQ(make_file_inputs(model, {}).sizes.at("batch_size"), 2);
  model.graph.nodes.push_back({"GroupQueryAttention", "com.microsoft", "", {"q"}, {"y"}, {}});
  EXPECT_EQ(make_file_inputs(model, {}).sizes.at("batch_size"), 1);
  EXPECT_EQ(make_file_inputs(model, {{"batch_size", 3}}).sizes.at("batch_size"), 3);
}

TEST(FileInputs, OtherSpellingsOfAxes) {
  const FileInputs made = make_file_inputs(
      with_inputs({{"input_ids", "int32", {"batch", "decoder_sequence_length"}},
                   {"past_key_0", "float32", {"batch", "2", "past_decoder_sequence_length", "4"}},
                   {"attention_mask", "int32", {"batch", "total_sequence_length"}},
                   {"x", "float32", {"s0", "s1"}},
                   {"y", "float32", {"s0 + 1", "2*s1"}},
                   {"pixel_values", "float32", {"?", "3", "?", "?"}}}),
      {{"batch_size", 5}, {"sequence_length", 6}, {"past_sequence_length", 7}, {"width", 9}});
  EXPECT_EQ(at(made, "input_ids").shape, (Ints{5, 6}));
  EXPECT_EQ(at(made, "past_key_0").shape, (Ints{5, 2, 7, 4}));
  EXPECT_EQ(at(made, "attention_mask").shape, (Ints{5, 13}));
  EXPECT_EQ(at(made, "x").shape, (Ints{5, 6}));
  EXPECT_EQ(at(made, "y").shape, (Ints{6, 12}));
  EXPECT_EQ(at(made, "pixel_values").shape, (Ints{5, 3, 64, 9}));
}

TEST(FileInputs, TheNameOfAnAxisCountsFirst) {
  const FileInputs made =
      make_file_inputs(with_inputs({{"input_values", "float32", {"batch_size", "sequence_length"}},
                                    {"attention_mask", "int64", {"batch_size", "sequence_length"}}}),
                       {{"batch_size", 1}});
  EXPECT_EQ(at(made, "input_values").shape, (Ints{1, 16000}));  // samples, whatever they are called
  EXPECT_EQ(at(made, "attention_mask").shape, (Ints{1, 16000}));
  const FileInputs named =
      make_file_inputs(with_inputs({{"x", "float32", {"n", "rows of n"}}}), {{"n", 3}, {"rows of n", 11}});
  EXPECT_EQ(at(named, "x").shape, (Ints{3, 11}));
}

TEST(FileInputs, IdsAreBelowTheRowsOfTheirTable) {
  ModelSummary model = with_inputs({{"input_ids", "int64", {"2", "50"}}, {"other", "int64", {"50"}}});
  model.graph.initializers.push_back({"table", "float32", {5, 8}, 160, ""});
  model.graph.nodes.push_back({"Cast", "", "", {"input_ids"}, {"cast"}, {}});
  model.graph.nodes.push_back({"Gather", "", "", {"table", "cast"}, {"rows"}, {}});
  const FileInputs made = make_file_inputs(model, {});
  const Ints ids = at(made, "input_ids").to_ints(), others = at(made, "other").to_ints();
  EXPECT_LT(*std::ranges::max_element(ids), 5);
  EXPECT_GT(*std::ranges::max_element(others), 5);
  EXPECT_LT(*std::ranges::max_element(others), 100);
}

TEST(FileInputs, AnotherFileGetsTheSameValues) {
  const FileInputs first = make_file_inputs(with_inputs({{"x", "float32", {"batch_size", "4"}}}), {});
  const FileInputs second =
      make_file_inputs(with_inputs({{"x", "float16", {"N", "4"}}, {"z", "bool", {"1"}}}), {}, first.tensors);
  EXPECT_EQ(at(second, "x").to_doubles(), at(first, "x").to_doubles());
  EXPECT_EQ(at(second, "x").dtype, DType::f16);
  EXPECT_EQ(at(second, "z").to_ints(), Ints{1});
}

TEST(FileInputs, StringsAreRefused) {
  try {
    make_file_inputs(with_inputs({{"text", "string", {"1"}}}), {});
    FAIL();
  } catch (const ExportError& error) {
    EXPECT_EQ(error.code(), ErrorCode::unsupported);
    EXPECT_NE(std::string(error.what()).find("'text' is of type string"), std::string::npos);
  }
}

TEST(Bench, Percentiles) {
  std::vector<double> seconds;
  for (int i = 100; i >= 1; --i) seconds.push_back(i);
  const Latency latency = summarize_latency(seconds);
  EXPECT_EQ(latency.p50, 50);
  EXPECT_EQ(latency.p90, 90);
  EXPECT_EQ(latency.p99, 99);
  EXPECT_EQ(latency.least, 1);
  EXPECT_EQ(latency.most, 100);
  EXPECT_DOUBLE_EQ(latency.mean, 50.5);
  const double one = 3;
  EXPECT_EQ(summarize_latency({&one, 1}).p99, 3);
}

// Files of an export, of each kind of model.
class BenchExport : public testing::TestWithParam<const char*> {};

TEST_P(BenchExport, EveryFileRuns) {
  const TempFolder folder;
  synthesize(read_fixture(GetParam()), folder.path() / "checkpoint");
  const ProgramResult made =
      run_program({"export", "onnx", "--model", (folder.path() / "checkpoint").string(),
                   (folder.path() / "out").string(), "--no-validate", "-q"});
  ASSERT_EQ(made.status, 0) << made.err;
  const ProgramResult result = run_program({"bench", (folder.path() / "out").string(), "--runs", "2",
                                            "--threads", "1", "--nb_max_frames", "64", "--json"});
  EXPECT_EQ(result.status, 0) << result.out;
  const auto report = parse_json<nlohmann::json>(result.out);
  EXPECT_FALSE(report["files"].empty());
  for (const auto& file : report["files"]) {
    EXPECT_TRUE(file["ok"].get<bool>()) << file;
    EXPECT_EQ(file["runs"], 2);
    EXPECT_GT(file["latency_seconds"]["p50"].get<double>(), 0);
    EXPECT_GT(file["peak_memory_bytes"].get<std::uint64_t>(), 1'000'000U);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, BenchExport,
                         testing::Values("bert/feature-extraction", "llama/text-generation-with-past",
                                         "t5/text2text-generation-with-past",
                                         "mamba/text-generation-with-past", "vit/image-classification",
                                         "qwen2_vl/image-text-to-text-with-past",
                                         "wav2vec2/automatic-speech-recognition"),
                         [](const auto& one) {
                           const std::string name = one.param;
                           return name.substr(0, name.find('/'));
                         });

TEST(Bench, SaysWhichFileFailsAndGoesOn) {
  const TempFolder folder;
  onnx::ModelProto model = make_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_value(*graph.add_input(), "x", onnx::TensorProto::FLOAT, {2, 3});
  set_value(*graph.add_output(), "y", onnx::TensorProto::FLOAT, {2, 3});
  add_node(graph, "Relu", {"x"}, "y");
  write_model(model, folder.path() / "b.onnx");
  graph.mutable_node(0)->set_op_type("Nothing");
  write_model(model, folder.path() / "a.onnx");
  const ProgramResult result = run_program({"bench", folder.path().string(), "--runs", "3"});
  EXPECT_EQ(result.status, 9);
  EXPECT_NE(result.err.find("not timed: " + (folder.path() / "a.onnx").string()), std::string::npos)
      << result.err;
  EXPECT_NE(result.out.find("3    runs"), std::string::npos) << result.out;
}

TEST(Bench, NamesTheAxesIfASizeIsUnknown) {
  const TempFolder folder;
  onnx::ModelProto model = make_model();
  onnx::GraphProto& graph = *model.mutable_graph();
  set_value(*graph.add_input(), "x", onnx::TensorProto::FLOAT, {2, 3});
  graph.mutable_input(0)
      ->mutable_type()
      ->mutable_tensor_type()
      ->mutable_shape()
      ->mutable_dim(0)
      ->set_dim_param("rows");
  set_value(*graph.add_output(), "y", onnx::TensorProto::FLOAT, {2, 3});
  add_node(graph, "Relu", {"x"}, "y");
  const fs::path file = folder.path() / "a.onnx";
  write_model(model, file);
  expect_failure(run_program({"bench", file.string(), "--size", "columns=4"}), 2,
                 {"'columns'", "the axes are rows"});
  expect_failure(run_program({"bench", file.string(), "--size", "rows"}), 2, {"--size rows", "expected"});
  expect_failure(run_program({"bench", file.string(), "--provider", "none"}), 9,
                 {"no provider 'none'", "CPU"});
  expect_failure(run_program({"bench", (folder.path() / "c.onnx").string()}), 7, {"c.onnx", "there is no"});
}

}  // namespace
}  // namespace onnxport::test
