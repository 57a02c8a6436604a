// What a recipe quantizes: layers by their roles, and by overrides.
#include <fmt/format.h>

#include <set>

#include "errors.h"
#include "onnxport/expert_ops.h"
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

// 9 blocks of an attention and a feed-forward part, and a last layer.
void build_decoder(Graph& graph) {
  Value x = graph.input("x", {DType::f32, {B, 3, 32}});
  const auto layer = [&](const std::string& path, const Value& from, std::int64_t outputs, double phase) {
    const ModulePath at(graph, path);
    const std::int64_t inputs = *from.dim(-1).constant();
    return op::linear(from, graph.weight(wave({outputs, inputs}, phase, path + ".weight")));
  };
  for (int i = 0; i < 9; ++i) {
    const std::string path = fmt::format("layers.{}.", i);
    const Value query = layer(path + "q", x, 32, i);
    const Value key = layer(path + "k", x, 32, i + 10);
    const Value value = layer(path + "v", x, 32, i + 20);
    const Value attended = op::attention({.query = query, .key = key, .value = value}, 4, 4).output;
    x = op::add(x, layer(path + "o", attended, 32, i + 30));
    const Value wide = op::relu(layer(path + "up", x, 64, i + 40));
    x = op::add(x, layer(path + "down", wide, 32, i + 50));
  }
  graph.output("y", layer("lm_head", x, 40, 5));
}

TEST(QuantizeGraph, KQuantMixedGivesSomeLayersEightBits) {
  std::set<std::string> wider;
  const Quantized one(build_decoder, {Blocks{.algorithm = "k_quant_mixed"}});
  for (const auto& layer : one.summary().layers) {
    if (layer.precision.starts_with("8 bits")) wider.insert(layer.path);
  }
  // The first two (below 9/8), the last one (from 63/8 on), and every third one between.
  std::set<std::string> expected = {"lm_head"};
  for (const int i : {0, 1, 3, 6, 8}) {
    expected.insert(fmt::format("layers.{}.v", i));
    expected.insert(fmt::format("layers.{}.down", i));
  }
  EXPECT_EQ(wider, expected);
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

TEST(QuantizeGraph, OverridesMatchPaths) {
  const auto layers = [](std::vector<RecipeOverride> overrides) {
    return Quantized(build_linear, {Blocks{}, std::move(overrides)}).summary();
  };
  EXPECT_EQ(layers({}).layers.at(0).precision, "4 bits in blocks of 32");
  EXPECT_EQ(layers({{"lay*", "q8"}}).layers.at(0).precision, "8 bits in blocks of 32");
  EXPECT_TRUE(layers({{"layer", "none"}}).layers.empty());
  EXPECT_EQ(layers({{"layer", "none"}, {"layer", "q2"}}).layers.at(0).precision, "2 bits in blocks of 32");
  EXPECT_TRUE(layers({{"lm_head", "q8"}}).matched.empty());
  EXPECT_EQ(layers({{"layer", "q8"}}).matched, std::set<std::string>{"layer"});
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
