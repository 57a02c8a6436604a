// Graphs with quantized weights: the files compute in ONNX Runtime what the interpreter computes from the
// values of the codes, and these values are near the original ones.
#include <fmt/format.h>

#include "errors.h"
#include "quantized_graph.h"

namespace onnxport::test {
namespace {

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

TEST(QuantizeGraph, TiedTablesAreStoredOnce) {
  const auto bytes_of = [](const OnnxGraph& graph) {
    std::int64_t bytes = 0;
    for (const OnnxInitializer& one : graph.initializers)
      bytes += one.weight.numel() * static_cast<std::int64_t>(size_of(one.weight.dtype()));
    return bytes;
  };
  const auto tables = [](const Quantized& one) {
    return count_of(ops_of(one.lowered()), "GatherBlockQuantized");
  };
  const Quantized both(build_tied, {Blocks{}});
  EXPECT_EQ(tables(both), 1U);
  EXPECT_LT(bytes_of(both.lowered()), 40 * 64 / 2 + 40 * 2 * 4 + 100);  // codes, scales, shapes
  both.check(2e-6, 0.2);
  // The embedding follows the layer.
  const Quantized wider(build_tied, {Blocks{}, {{"lm_head", "q8"}}});
  EXPECT_LT(bytes_of(wider.lowered()), 40 * 64 + 40 * 2 * 4 + 100);
  wider.check(2e-6, 0.05);
  EXPECT_TRUE(Quantized(build_tied, {Blocks{}, {{"lm_head", "none"}}}).summary().layers.empty());
  const Quantized floats(build_tied, {Blocks{}, {{"embed", "none"}}});
  EXPECT_EQ(tables(floats), 0U);
  floats.check(2e-6, 0.2);
  const Quantized apart(build_tied, {Blocks{}, {{"embed", "q8"}}});
  EXPECT_GT(bytes_of(apart.lowered()), 40 * 64 + 40 * 64 / 2);
  apart.check(2e-6, 0.2);
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

}  // namespace
}  // namespace onnxport::test
