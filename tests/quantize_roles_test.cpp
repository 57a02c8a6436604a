// What a recipe quantizes: layers by their roles, and by overrides.
#include <set>

#include "errors.h"
#include "quantized_graph.h"

namespace onnxport::test {
namespace {

// 4 experts; two per token.
void build_mixture(Graph& graph) {
  const Value x = graph.input("x", {graph.float_dtype(), {B, 64}});
  Value routing;
  {
    const ModulePath at(graph, "router");
    routing = op::softmax(op::linear(x, graph.weight(wave({32, 64}, 5, "router.weight"))), -1);
  }
  const ModulePath at(graph, "experts");
  const op::Experts experts{.gate = graph.weight(wave({32, 32, 64}, 1, "gate")),
                            .up = graph.weight(wave({32, 32, 64}, 2, "up")),
                            .down = graph.weight(wave({32, 64, 32}, 3, "down"))};
  graph.output("y", op::mixture_of_experts(x, routing, experts, "silu"));
}

TEST(QuantizeGraph, ExpertsAreQuantizedAndRoutersAreNot) {
  for (const Recipe& recipe :
       {Recipe{Blocks{}}, Recipe{Blocks{.symmetric = false}}, Recipe{DynamicRecipe{}}}) {
    const Quantized one(build_mixture, recipe);
    std::set<std::string> weights;
    for (const auto& layer : one.summary().layers) weights.insert(layer.weight);
    EXPECT_EQ(weights, (std::set<std::string>{"gate", "up", "down"}));
    one.check(2e-6, 0.3);
  }
  Quantized(build_mixture, {Blocks{}}, DType::f16).check(8e-3, 0.3);
}

TEST(QuantizeGraph, SmallLayersStay) {
  const auto build = [](Graph& graph) {
    const Value x = graph.input("x", {DType::f32, {B, 64}});
    const Value narrow = op::linear(x, graph.weight(wave({15, 64}, 1, "narrow")));
    const Value shallow = graph.input("s", {DType::f32, {B, 31}});
    graph.output("y", narrow);
    graph.output("z", op::linear(shallow, graph.weight(wave({64, 31}, 1, "shallow"))));
  };
  EXPECT_TRUE(Quantized(build, {Blocks{}}).summary().layers.empty());
}

TEST(QuantizeGraph, OverridesMatchPathsAndUnusedOnesAreReported) {
  const auto layers = [](std::vector<RecipeOverride> overrides) {
    return Quantized(build_linear, {Blocks{}, std::move(overrides)}).summary();
  };
  EXPECT_EQ(layers({}).layers.at(0).precision, "4 bits in blocks of 32");
  EXPECT_EQ(layers({{"lay*", "q8"}}).layers.at(0).precision, "8 bits in blocks of 32");
  EXPECT_TRUE(layers({{"layer", "none"}}).layers.empty());
  EXPECT_EQ(layers({{"layer", "none"}, {"layer", "q2"}}).layers.at(0).precision, "2 bits in blocks of 32");
  EXPECT_EQ(layers({{"lm_head", "q8"}}).unused, std::vector<std::string>{"lm_head"});
}

TEST(QuantizeGraph, WhatNoKernelHasIsRefused) {
  const auto refusal = [](const Recipe& recipe, DType dtype = DType::f32) {
    return complaint(ErrorCode::invalid_argument, [&] { check_recipe(recipe, dtype, "--quantize"); });
  };
  EXPECT_EQ(refusal({Blocks{.bits = 3}}), "--quantize: 3 bits, expected 2, 4 or 8");
  EXPECT_EQ(refusal({Blocks{.block_size = 48}}), "--quantize: blocks of 48, expected 16, 32, 64, 128 or 256");
  EXPECT_EQ(refusal({Blocks{.algorithm = "gptq"}}),
            "--quantize: algorithm 'gptq', expected rtn, k_quant or k_quant_mixed");
  EXPECT_EQ(refusal({Blocks{.bits = 2, .algorithm = "k_quant"}}),
            "--quantize: k_quant has no 2 bits; use rtn");
  EXPECT_EQ(refusal({Blocks{}}, DType::bf16),
            "--quantize: no CPU kernel takes codes in bfloat16; use --dtype fp32 or fp16");
  EXPECT_EQ(refusal({Bnb4Recipe{}}, DType::f16),
            "--quantize: the CPU kernel of MatMulBnb4 takes only float32, got float16");
  EXPECT_EQ(refusal({DynamicRecipe{}}, DType::f16),
            "--quantize: dynamic quantization works on float32 activations, got float16");
  EXPECT_EQ(refusal({Blocks{}, {{"lm_head", "q5"}}}),
            "--quantize: override 'lm_head=q5': expected a module path and q2, q4, q8 or none, as in "
            "'lm_head=q8'");
}

}  // namespace
}  // namespace onnxport::test
