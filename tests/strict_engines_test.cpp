// What engines other than the newest ONNX Runtime do not take. tests/clients/engines runs two of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "golden_fixture.h"
#include "lower/lower.h"
#include "onnxport/export.h"
#include "onnxport/inspect.h"
#include "onnxport/op.h"
#include "scan_bodies.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

using Strings = std::vector<std::string>;

struct LoweredOp {
  const char* what;
  DType dtype;  // of the input [N, 4] and of the graph's weights, if it is a float
  std::function<Value(Value)> op;
  int opset;
  Strings nodes;
};

class StrictEngines : public testing::TestWithParam<LoweredOp> {};

TEST_P(StrictEngines, GetOpsThatTheyTake) {
  const LoweredOp& row = GetParam();
  Graph graph(is_float(row.dtype) ? row.dtype : DType::f32);
  const Value x = graph.input("x", {row.dtype, {Dim::symbol("N"), 4}});
  graph.output("y", row.op(x));
  const OnnxGraph lowered = lower::lower(graph, {.opset = row.opset});
  Strings nodes;
  for (const OnnxNode& node : lowered.nodes) nodes.push_back(node.op_type);
  EXPECT_EQ(nodes, row.nodes);
  for (const OnnxInitializer& one : lowered.initializers) EXPECT_GT(one.weight.numel(), 0) << one.name;
}

Value largest(Value x) { return op::argmax(x, 1); }
Value unit(Value x) { return op::normalize(x, 1); }
Value quotient(Value x) { return op::div(x, 10.0); }
Value quotient_of_sum(Value x) { return op::div(op::add(op::sum(x, 1, true), 1.0), 10.0); }
Value as_scalar(Value x) { return op::reshape(op::slice(op::slice(x, 0, 0, 1), 1, 0, 1), {}); }
Value norm(Value x) {
  const Value weight = x.graph().weight(Weight::from_doubles(x.dtype(), {4}, std::vector<double>(4, 1)));
  return op::layer_norm(x, weight, {}, 1e-5);
}

std::string op_name(const testing::TestParamInfo<LoweredOp>& info) { return info.param.what; }

INSTANTIATE_TEST_SUITE_P(
    Ops, StrictEngines,
    testing::Values(
        LoweredOp{"argmax_i64", DType::i64, largest, 18, {"Cast", "ArgMax"}},
        LoweredOp{"argmax_i32", DType::i32, largest, 18, {"ArgMax"}},
        LoweredOp{"argmax_f32", DType::f32, largest, 18, {"ArgMax"}},
        LoweredOp{"normalize_f32", DType::f32, unit, 18, {"ReduceL2", "Max", "Div"}},
        LoweredOp{"normalize_f16", DType::f16, unit, 18, {"Cast", "ReduceL2", "Max", "Div", "Cast"}},
        LoweredOp{"normalize_bf16", DType::bf16, unit, 18, {"Cast", "ReduceL2", "Max", "Div", "Cast"}},
        LoweredOp{"quotient", DType::i64, quotient, 18, {"Div"}},
        LoweredOp{
            "quotient_of_sum", DType::i64, quotient_of_sum, 18, {"ReduceSum", "Add", "Mod", "Sub", "Div"}},
        LoweredOp{"quotient_of_sum_f32", DType::f32, quotient_of_sum, 18, {"ReduceSum", "Add", "Div"}},
        LoweredOp{"scalar_18", DType::f32, as_scalar, 18, {"Slice", "Slice", "Squeeze"}},
        LoweredOp{"scalar_11", DType::f32, as_scalar, 11, {"Slice", "Slice", "Squeeze"}}),
    op_name);

TEST(StrictEngine, LayerNormalizationAlwaysHasABias) {
  for (const DType dtype : {DType::f32, DType::f16}) {
    Graph graph(dtype);
    graph.output("y", norm(graph.input("x", {dtype, {Dim::symbol("N"), 4}})));
    const OnnxGraph lowered = lower::lower(graph, {.opset = 18});
    ASSERT_EQ(lowered.nodes.size(), 1U);
    EXPECT_EQ(lowered.nodes[0].op_type, "LayerNormalization");
    EXPECT_EQ(lowered.nodes[0].inputs.size(), 3U);
  }
}

// The fixtures' test asks the same of every file.
TEST(StrictEngine, ScansTakeOnlyInitializersFromOutside) {
  const auto in_branch = [](Strings inputs) {
    return NodeSummary{
        .op_type = "If",
        .name = "if",
        .inputs = {"flag"},
        .outputs = {"y"},
        .graphs = {{"then_branch", {.nodes = {{.op_type = "Add", .inputs = std::move(inputs)}}}}}};
  };
  const auto taken = [&](Strings inputs) {
    const GraphSummary body{.inputs = {{.name = "state"}, {.name = "flag"}},
                            .outputs = {{.name = "y"}},
                            .nodes = {in_branch(std::move(inputs))}};
    return taken_from_outside({.inputs = {{.name = "tokens"}},
                               .nodes = {{.op_type = "Scan", .name = "scan", .graphs = {{"body", body}}}},
                               .initializers = {{.name = "weight"}}});
  };
  EXPECT_EQ(taken({"state", "weight"}), Strings());
  EXPECT_EQ(taken({"state", "tokens"}), Strings{"scan: tokens"});
}

// A branch with a past returns empty keys of the encoder.
TEST(StrictEngine, NoInitializerOfAMergedDecoderIsEmpty) {
  for (const char* name :
       {"t5/text2text-generation-with-past", "whisper/automatic-speech-recognition-with-past"}) {
    const GoldenFixture fixture = read_fixture(name);
    const TempFolder folder;
    const std::filesystem::path checkpoint = folder.path() / "checkpoint";
    std::filesystem::create_directory(checkpoint);
    synthesize(fixture, checkpoint);
    for (const char* dtype : {"fp32", "fp16"}) {
      main_export({.model = checkpoint,
                   .output = folder.path() / "out",
                   .task = fixture.task,
                   .dtype = dtype,
                   .validate = false});
      for (const InitializerSummary& one :
           summarize(folder.path() / "out" / "decoder_model_merged.onnx").graph.initializers) {
        EXPECT_TRUE(std::none_of(one.shape.begin(), one.shape.end(), [](std::int64_t n) { return n == 0; }))
            << name << ' ' << one.name;
      }
    }
  }
}

}  // namespace
}  // namespace onnxport::test
