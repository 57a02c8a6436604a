// Exports for the target `ort`: which operators they hold, and that validation covers them.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "golden_fixture.h"
#include "onnxport/export.h"
#include "onnxport/inspect.h"
#include "onnxport/op.h"
#include "pipeline/lower_model.h"
#include "run_program.h"
#include "support/temp_folder.h"

namespace onnxport::test {
namespace {

namespace fs = std::filesystem;

using Counts = std::map<std::string, int>;

void count(const GraphSummary& graph, Counts& counts) {
  for (const NodeSummary& node : graph.nodes) {
    ++counts[node.domain.empty() ? node.op_type : node.domain + "." + node.op_type];
    for (const auto& [name, inner] : node.graphs) count(inner, counts);
  }
}

Counts operators(const fs::path& file) {
  Counts counts;
  count(summarize(file).graph, counts);
  return counts;
}

// Exports a fixture with the command line, and validates.
class TargetOrt : public testing::Test {
 protected:
  ProgramResult run(const std::string& fixture, const std::vector<std::string>& flags) {
    const GoldenFixture made = read_fixture(fixture);
    fs::remove_all(folder_.path() / "checkpoint");
    synthesize(made, folder_.path() / "checkpoint");
    std::vector<std::string> arguments = {
        "export", "onnx",   "-m", (folder_.path() / "checkpoint").string(), (folder_.path() / "out").string(),
        "--task", made.task};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    return run_program(arguments);
  }
  Counts counts(const char* stem = "model") const {
    return operators(folder_.path() / "out" / (std::string(stem) + ".onnx"));
  }

  TempFolder folder_;
};

TEST_F(TargetOrt, LevelsOfOptimization) {
  const std::string fixture = "bert/feature-extraction";
  const ProgramResult first = run(fixture, {"--optimize", "O1"});
  EXPECT_EQ(first.status, 0) << first.err;
  for (const auto& [op, number] : counts()) EXPECT_EQ(op.find("com.microsoft"), std::string::npos) << op;

  const ProgramResult second = run(fixture, {"--optimize", "O2"});
  EXPECT_EQ(second.status, 0) << second.err;
  Counts o2 = counts();
  EXPECT_EQ(o2["com.microsoft.MultiHeadAttention"], 2);
  EXPECT_EQ(o2["com.microsoft.BiasGelu"], 2);
  EXPECT_EQ(o2["LayerNormalization"], 5);  // the contrib operator is slower in float32
  EXPECT_EQ(o2["Softmax"], 0);

  const ProgramResult third = run(fixture, {"--optimize", "O3"});
  EXPECT_EQ(third.status, 0) << third.err;
  Counts o3 = counts();
  EXPECT_EQ(o3["com.microsoft.FastGelu"], 2);
  EXPECT_EQ(o3["com.microsoft.BiasGelu"], 0);

  const ProgramResult fourth = run(fixture, {"--optimize", "O4"});
  EXPECT_EQ(fourth.status, 0) << fourth.err;
  EXPECT_EQ(counts()["com.microsoft.SkipLayerNormalization"], 4);
  EXPECT_EQ(summarize(folder_.path() / "out" / "model.onnx").graph.outputs[0].type, "float16");
}

TEST_F(TargetOrt, FlagsThatContradictAreRefused) {
  const std::string fixture = "bert/feature-extraction";
  constexpr int kUsage = 2;
  for (const std::vector<std::string>& flags :
       {std::vector<std::string>{"--optimize", "O1", "--target", "ort"},
        {"--optimize", "O4", "--dtype", "bf16"},
        {"--attention", "gqa"},
        {"--target", "cuda"},
        {"--optimize", "O5"}}) {
    const ProgramResult result = run(fixture, flags);
    EXPECT_EQ(result.status, kUsage) << flags[0] << ' ' << flags[1] << ": " << result.err;
    EXPECT_NE(result.err.find(flags[0]), std::string::npos) << result.err;
  }
}

TEST_F(TargetOrt, CachedAttention) {
  const ProgramResult gpt2 = run("gpt2/text-generation-with-past", {"--target", "ort"});
  EXPECT_EQ(gpt2.status, 0) << gpt2.err << gpt2.out;
  EXPECT_EQ(counts()["com.microsoft.MultiHeadAttention"], 2);

  // Shared key heads: our own form, whose heads turn by the contrib operator.
  const ProgramResult llama = run("llama/text-generation-with-past", {"--target", "ort"});
  EXPECT_EQ(llama.status, 0) << llama.err << llama.out;
  Counts own = counts();
  EXPECT_EQ(own["com.microsoft.GroupQueryAttention"], 0);
  EXPECT_EQ(own["com.microsoft.RotaryEmbedding"], 4);

  // In float32, the kernel that adds and normalizes is less precise than the two operators.
  EXPECT_EQ(own["com.microsoft.SkipSimplifiedLayerNormalization"], 0);
  ASSERT_EQ(run("llama/text-generation-with-past", {"--target", "ort", "--dtype", "fp16"}).status, 0);
  EXPECT_EQ(counts()["com.microsoft.SkipSimplifiedLayerNormalization"], 4);

  const ProgramResult grouped =
      run("llama/text-generation-with-past", {"--target", "ort", "--attention", "gqa"});
  EXPECT_EQ(grouped.status, 0) << grouped.err << grouped.out;
  EXPECT_EQ(counts()["com.microsoft.GroupQueryAttention"], 2);
  EXPECT_NE(grouped.err.find("one sequence at a time"), std::string::npos) << grouped.err;
  EXPECT_NE(grouped.out.find("row by row"), std::string::npos) << grouped.out;
}

TEST_F(TargetOrt, AttentionToAnEncoder) {
  // Two layers. In float32 the keys of the encoder, which lie apart, stay with products of matrices.
  for (const auto& [dtype, number] : {std::pair{"fp32", 2}, {"fp16", 4}}) {
    const ProgramResult whisper =
        run("whisper/automatic-speech-recognition-with-past", {"--target", "ort", "--dtype", dtype});
    EXPECT_EQ(whisper.status, 0) << whisper.err << whisper.out;
    for (const char* stem : {"decoder_model", "decoder_with_past_model"})
      EXPECT_EQ(counts(stem)["com.microsoft.MultiHeadAttention"], number) << stem << ' ' << dtype;
    EXPECT_EQ(counts("decoder_model_merged")["com.microsoft.MultiHeadAttention"], 2 * number) << dtype;
  }
}

TEST_F(TargetOrt, ResultsOfContribOperatorsHaveTypes) {
  ASSERT_EQ(run("bert/feature-extraction", {"--target", "ort", "--no-validate"}).status, 0);
  const ModelSummary model = summarize(folder_.path() / "out" / "model.onnx");
  const auto version = std::find_if(model.opsets.begin(), model.opsets.end(),
                                    [](const auto& opset) { return opset.first == "com.microsoft"; });
  ASSERT_NE(version, model.opsets.end());
  EXPECT_EQ(version->second, 1);
}

// ---- predicates ----

// The contrib operators of one attention with a past.
Counts lowered(const std::function<op::AttentionMask(Graph&)>& mask, std::int64_t kv_heads,
               lower::GroupQuery group_query, double softcap = 0) {
  const Dim batch = Dim::symbol("B"), length = Dim::symbol("L"), past = Dim::symbol("P");
  Graph graph;
  const auto input = [&](const char* name, Shape shape) {
    return graph.input(name, {DType::f32, std::move(shape)});
  };
  op::AttentionOperands in{.query = input("q", {batch, length, 32}),
                           .key = input("k", {batch, length, 8 * kv_heads}),
                           .value = input("v", {batch, length, 8 * kv_heads}),
                           .past_key = input("past_key", {batch, kv_heads, past, 8}),
                           .past_value = input("past_value", {batch, kv_heads, past, 8})};
  in.mask = mask(graph);
  const op::AttentionResults results = op::attention(in, 4, kv_heads, {.softcap = softcap});
  graph.output("output", results.output);
  graph.output("key", results.key);
  graph.output("value", results.value);
  const lower::Target target{.runtime = lower::Runtime::ort, .group_query = group_query};
  Counts counts;
  for (const OnnxNode& node : pipeline::lower_graph(std::move(graph), target).nodes) ++counts[node.op_type];
  return counts;
}

Value padding(Graph& graph) {
  return graph.input("padding", {DType::i64, {Dim::symbol("B"), Dim::symbol("P") + Dim::symbol("L")}});
}

TEST(FormsOfAttention, OrderAloneNeedsNoMask) {
  Counts counts =
      lowered([](Graph&) { return op::AttentionMask{.causal = true}; }, 4, lower::GroupQuery::never);
  EXPECT_EQ(counts, (Counts{{"MultiHeadAttention", 1}}));
}

TEST(FormsOfAttention, SharedKeyHeadsAreNoMultiHeadAttention) {
  Counts counts =
      lowered([](Graph&) { return op::AttentionMask{.causal = true}; }, 2, lower::GroupQuery::never);
  EXPECT_EQ(counts["MultiHeadAttention"], 0);
  EXPECT_EQ(counts["Softmax"], 1);
}

TEST(FormsOfAttention, QueriesWithoutKeysDecideOnGroupQueryAttention) {
  const auto mask = [](op::NoKeys no_keys) {
    return [=](Graph& graph) {
      return op::AttentionMask{.padding = padding(graph), .causal = true, .no_keys = no_keys};
    };
  };
  EXPECT_EQ(lowered(mask(op::NoKeys::zero), 2, lower::GroupQuery::any_padding)["GroupQueryAttention"], 1);
  // It would attend to the earlier keys alone.
  EXPECT_EQ(lowered(mask(op::NoKeys::uniform), 2, lower::GroupQuery::any_padding)["GroupQueryAttention"], 0);
  EXPECT_EQ(lowered([](Graph&) { return op::AttentionMask{}; }, 2,
                    lower::GroupQuery::any_padding)["GroupQueryAttention"],
            0);
  EXPECT_EQ(lowered([](Graph&) { return op::AttentionMask{.causal = true}; }, 2,
                    lower::GroupQuery::any_padding, 5)["GroupQueryAttention"],
            0);
}

TEST(FormsOfAttention, PaddingOnTheRightIsTheLengthOfEachRow) {
  const auto mask = [](Graph& graph) {
    return op::AttentionMask{
        .padding = padding(graph), .causal = true, .window = 3, .no_keys = op::NoKeys::uniform};
  };
  Counts counts = lowered(mask, 2, lower::GroupQuery::right_padding);
  EXPECT_EQ(counts["GroupQueryAttention"], 1);
  EXPECT_EQ(counts["ReduceSum"], 1);
  EXPECT_EQ(counts["Where"] + counts["Softmax"], 0);
  // Without a mask, nothing says how long the rows are.
  EXPECT_EQ(lowered([](Graph&) { return op::AttentionMask{.causal = true}; }, 2,
                    lower::GroupQuery::right_padding)["GroupQueryAttention"],
            0);
}

TEST(FormsOfAttention, SoftcapIsNoMultiHeadAttention) {
  EXPECT_EQ(lowered([](Graph&) { return op::AttentionMask{.causal = true}; }, 4, lower::GroupQuery::never,
                    5)["MultiHeadAttention"],
            0);
}

}  // namespace
}  // namespace onnxport::test
