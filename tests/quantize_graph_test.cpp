// Graphs with quantized weights: the files compute in ONNX Runtime what the interpreter computes from the
// values of the codes, and these values are near the original ones.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "errors.h"
#include "lower/lower.h"
#include "onnxport/op.h"
#include "onnxport/validate.h"
#include "pass/rebuild.h"
#include "pass_checks.h"
#include "pipeline/lower_model.h"
#include "reference/interpreter.h"
#include "runtime/session.h"
#include "serialize/writer.h"
#include "support/temp_folder.h"
#include "transform/quantize.h"

namespace onnxport::test {
namespace {

const Dim B = Dim::symbol("B");

using Blocks = BlockRecipe;

// A graph before and after a recipe.
class Quantized {
 public:
  Quantized(const std::function<void(Graph&)>& build, const Recipe& recipe, DType dtype = DType::f32)
      : original_(dtype) {
    build(original_);
    check_recipe(recipe, dtype, "a recipe");
    graph_ = transform::quantize(pass::copy(original_), recipe, summary_);
    verify(graph_);
    if (const auto* blocks = std::get_if<Blocks>(&recipe.scheme)) {
      target_.accuracy_level = blocks->accuracy_level;
      target_.standard_quantization = blocks->standard_ops;
    }
  }

  lower::Target& target() { return target_; }
  const transform::QuantizeSummary& summary() const { return summary_; }
  OnnxGraph lowered() const { return pipeline::lower_graph(pass::copy(graph_), target_); }

  // Compares the file with the graph, and the graph with the original, relative to the largest value.
  void check(double atol, double drift) const {
    const OnnxGraph lowered = this->lowered();
    const TempFolder folder;
    const std::filesystem::path file = folder.path() / "model.onnx";
    serialize::write_model(lowered, file);
    const runtime::Session session(file, {.intra_op_threads = 1});
    for (const std::int64_t batch : {1, 3}) {
      const reference::Case inputs = case_of(batch);
      const auto expected = reference::interpret(graph_, {inputs})[0];
      const auto original = reference::interpret(original_, {inputs})[0];
      NamedTensors given(inputs.begin(), inputs.end());
      const NamedTensors got = session.run(given);
      ASSERT_EQ(got.size(), expected.size());
      for (std::size_t i = 0; i < got.size(); ++i) {
        const Tensor reference = reference::to_tensor(expected[i]);
        const OutputComparison one = compare_outputs(got[i].first, got[i].second, reference, atol);
        EXPECT_TRUE(one.passed) << one.name << ": " << one.max_difference << " > " << one.tolerance;
        const OutputComparison far =
            compare_outputs(got[i].first, got[i].second, reference::to_tensor(original[i]), drift);
        EXPECT_TRUE(far.passed) << one.name << " drifts: " << far.max_difference << " > " << far.tolerance;
        EXPECT_GT(far.max_difference, 0) << one.name << " is not quantized";
      }
    }
  }

 private:
  reference::Case case_of(std::int64_t batch) const {
    reference::Case inputs;
    for (const auto& [name, value] : original_.inputs()) {
      std::vector<std::int64_t> shape;
      for (const Dim& dim : value.shape()) shape.push_back(dim.evaluate({{"B", batch}}));
      if (is_float(value.dtype())) {
        inputs.emplace_back(name, Tensor::from_doubles(value.dtype(), shape, waves(shape, 0.3)));
        continue;
      }
      Tensor ids(DType::i64, shape);
      std::vector<std::int64_t> values;
      for (std::int64_t i = 0; i < ids.numel(); ++i) values.push_back(i * 7 % 40);
      inputs.emplace_back(name, Tensor::from_ints(DType::i64, shape, values));
    }
    return inputs;
  }

  Graph original_, graph_;
  transform::QuantizeSummary summary_;
  lower::Target target_{.opset = 21};
};

std::vector<std::string> ops_of(const OnnxGraph& graph) {
  std::vector<std::string> ops;
  for (const OnnxNode& node : graph.nodes) ops.push_back(node.op_type);
  return ops;
}

std::size_t count_of(const std::vector<std::string>& ops, const std::string& op) {
  return static_cast<std::size_t>(std::count(ops.begin(), ops.end(), op));
}

// 48 outputs from 80 inputs: the last block of 32 is half full.
void build_linear(Graph& graph) {
  const Value x = graph.input("x", {graph.float_dtype(), {B, 3, 80}});
  const ModulePath at(graph, "layer");
  const Value bias = graph.weight(wave({48}, 2, "layer.bias"));
  graph.output("y", op::linear(x, graph.weight(wave({48, 80}, 1, "layer.weight")), bias));
}

TEST(QuantizeGraph, BlocksOfEveryKindComputeWhatTheirCodesMean) {
  for (const int bits : {2, 4, 8}) {
    for (const std::int64_t block_size : {16, 32, 64}) {
      for (const bool symmetric : {true, false}) {
        for (const char* algorithm : {"rtn", "k_quant"}) {
          if (bits == 2 && algorithm != std::string("rtn")) continue;
          SCOPED_TRACE(fmt::format("{} bits, blocks of {}, {}, {}", bits, block_size, symmetric, algorithm));
          const Quantized one(
              build_linear,
              {Blocks{
                  .bits = bits, .block_size = block_size, .symmetric = symmetric, .algorithm = algorithm}});
          EXPECT_EQ(ops_of(one.lowered()), (std::vector<std::string>{"MatMulNBits", "Add"}));
          one.check(2e-6, bits == 2 ? 0.9 : bits == 4 ? 0.2 : 0.02);
        }
      }
    }
  }
}

TEST(QuantizeGraph, BlocksInHalfPrecision) {
  Quantized(build_linear, {Blocks{}}, DType::f16).check(4e-3, 0.2);
  Quantized(build_linear, {Blocks{.symmetric = false}}, DType::f16).check(4e-3, 0.2);
}

TEST(QuantizeGraph, AccuracyLevelIsAnAttribute) {
  const Quantized exact(build_linear, {Blocks{}}), fast(build_linear, {Blocks{.accuracy_level = 4}});
  const auto has_level = [](const OnnxGraph& graph) {
    return std::any_of(graph.nodes[0].attrs.begin(), graph.nodes[0].attrs.end(),
                       [](const auto& attr) { return attr.first == "accuracy_level"; });
  };
  EXPECT_FALSE(has_level(exact.lowered()));
  EXPECT_TRUE(has_level(fast.lowered()));
  fast.check(0.05, 0.2);
}

TEST(QuantizeGraph, Bnb4) {
  for (const char* type : {"nf4", "fp4"}) {
    const Quantized one(build_linear, {Bnb4Recipe{.type = type}});
    EXPECT_EQ(ops_of(one.lowered()), (std::vector<std::string>{"MatMulBnb4", "Add"}));
    one.check(2e-6, 0.3);
  }
}

TEST(QuantizeGraph, IntegersWithDynamicScales) {
  for (const DType dtype : {DType::i8, DType::u8}) {
    for (const bool per_channel : {true, false}) {
      const Quantized one(build_linear, {DynamicRecipe{.weights = dtype, .per_channel = per_channel}});
      EXPECT_EQ(count_of(ops_of(one.lowered()), "MatMulInteger"), 1U);
      one.check(2e-6, 0.05);
    }
  }
}

TEST(QuantizeGraph, LayersOfTheSameInputQuantizeItOnce) {
  const auto build = [](Graph& graph) {
    const Value x = graph.input("x", {DType::f32, {B, 64}});
    const Value a = op::linear(x, graph.weight(wave({32, 64}, 1, "a")));
    const Value b = op::linear(x, graph.weight(wave({32, 64}, 2, "b")));
    graph.output("y", op::add(a, b));
  };
  const Quantized one(build, {DynamicRecipe{}});
  EXPECT_EQ(count_of(ops_of(one.lowered()), "DynamicQuantizeLinear"), 1U);
  EXPECT_EQ(count_of(ops_of(one.lowered()), "DequantizeLinear"), 0U);
  one.check(2e-6, 0.05);
}

TEST(QuantizeGraph, ConvolutionsOfEveryShapeBecomeUnsignedIntegers) {
  for (const std::int64_t groups : {1, 2}) {
    const auto build = [&](Graph& graph) {
      const Value image = graph.input("image", {DType::f32, {B, 8, 9, 7}});
      const Value bias = graph.weight(wave({32}, 2, "conv.bias"));
      graph.output("y", op::conv2d(image, graph.weight(wave({32, 8 / groups, 3, 3}, 1, "conv.weight")), bias,
                                   {.stride = {2, 1}, .padding = {1, 1}, .groups = groups}));
      const Value sound = graph.input("sound", {DType::f32, {B, 8, 20}});
      graph.output("z", op::conv1d(sound, graph.weight(wave({32, 8 / groups, 9}, 1, "conv1d.weight")), {},
                                   {.padding = {4}, .groups = groups}));
    };
    const Quantized one(build, {DynamicRecipe{}});
    EXPECT_EQ(count_of(ops_of(one.lowered()), "ConvInteger"), 2U);
    one.check(2e-6, 0.05);
    EXPECT_TRUE(Quantized(build, {Blocks{}}).summary().layers.empty());
  }
}

void build_tied(Graph& graph) {
  const Value ids = graph.input("ids", {DType::i64, {B, 3}});
  const Value table = graph.weight(wave({40, 64}, 1, "embed.weight"));
  Value x;
  {
    const ModulePath at(graph, "embed");
    x = op::embedding(table, ids);
  }
  const ModulePath at(graph, "lm_head");
  graph.output("y", op::linear(x, table));
}

TEST(QuantizeGraph, EmbeddingsAreQuantizedOnRequestAndTiedTablesStoredOnce) {
  const auto bytes_of = [](const OnnxGraph& graph) {
    std::int64_t bytes = 0;
    for (const OnnxInitializer& one : graph.initializers)
      bytes += one.weight.numel() * static_cast<std::int64_t>(size_of(one.weight.dtype()));
    return bytes;
  };
  const Quantized floats(build_tied, {Blocks{}});
  EXPECT_EQ(count_of(ops_of(floats.lowered()), "GatherBlockQuantized"), 0U);
  floats.check(2e-6, 0.2);
  const Quantized both(build_tied, {Blocks{}, {{"embed", "q4"}}});
  EXPECT_EQ(count_of(ops_of(both.lowered()), "GatherBlockQuantized"), 1U);
  EXPECT_LT(bytes_of(both.lowered()), 40 * 64 / 2 + 40 * 2 * 4 + 100);  // codes, scales, shapes
  both.check(2e-6, 0.2);
  const Quantized untied(build_tied, {Blocks{}, {{"embed", "q8"}}});
  untied.check(2e-6, 0.2);
  const Quantized integers(build_tied, {DynamicRecipe{}});
  EXPECT_LT(bytes_of(integers.lowered()), 40 * 64 + 40 * 4 + 100);
  integers.check(2e-6, 0.05);
}

TEST(QuantizeGraph, EmbeddingsOfEveryBlockKind) {
  const auto build = [](Graph& graph) {
    const Value ids = graph.input("ids", {DType::i64, {B, 3}});
    const ModulePath at(graph, "embed");
    graph.output("y", op::embedding(graph.weight(wave({40, 80}, 1, "embed.weight")), ids));
  };
  for (const char* precision : {"q2", "q4", "q8"}) {
    for (const bool symmetric : {true, false}) {
      SCOPED_TRACE(fmt::format("{}, symmetric {}", precision, symmetric));
      const Quantized one(build, {Blocks{.symmetric = symmetric}, {{"embed", precision}}});
      EXPECT_EQ(one.summary().layers.size(), 1U);
      one.check(2e-6, 0.7);
    }
  }
  for (const DType dtype : {DType::i8, DType::u8}) {
    for (const bool per_channel : {true, false})
      Quantized(build, {DynamicRecipe{.weights = dtype, .per_channel = per_channel}}).check(2e-6, 0.05);
  }
}

TEST(QuantizeGraph, StandardOperators) {
  const auto build = [](Graph& graph) {
    const Value x = graph.input("x", {DType::f32, {B, 3, 128}});
    graph.output("y", op::linear(x, graph.weight(wave({48, 128}, 1, "layer.weight")),
                                 graph.weight(wave({48}, 2, "layer.bias"))));
  };
  for (const bool symmetric : {true, false}) {
    Quantized one(build, {Blocks{.symmetric = symmetric, .standard_ops = true}});
    const OnnxGraph graph = one.lowered();
    EXPECT_EQ(ops_of(graph), (std::vector<std::string>{"DequantizeLinear", "Transpose", "MatMul", "Add"}));
    EXPECT_FALSE(graph.opsets.contains(kMicrosoftDomain));
    one.target().opset = 20;
    EXPECT_EQ(complaint(ErrorCode::unsupported, [&] { one.lowered(); }),
              "linear at  with DequantizeLinear: needs --opset 21, got 20");
  }
  const Quantized odd(build_linear, {Blocks{.standard_ops = true}});
  EXPECT_EQ(complaint(ErrorCode::unsupported, [&] { odd.lowered(); }),
            "linear at layer with DequantizeLinear: blocks of 32 do not divide its 80 inputs; use smaller "
            "blocks");
}

TEST(QuantizeGraph, AProductWithAConstantMatrixIsALayer) {
  const auto build = [](Graph& graph) {
    const Value x = graph.input("x", {DType::f32, {B, 3, 64}});
    graph.output("y", op::matmul(x, graph.weight(wave({64, 32}, 1, "projection"))));
  };
  const Quantized one(build, {Blocks{.bits = 8}});
  EXPECT_EQ(ops_of(one.lowered()), (std::vector<std::string>{"MatMulNBits"}));
  one.check(2e-6, 0.05);
}

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
