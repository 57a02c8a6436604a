// Layers with the codes of a quantized checkpoint: their files compute what the codes mean.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "ir/weight_packed.h"
#include "onnxport/expert_ops.h"
#include "quantized_graph.h"
#include "support/quantize_bnb4.h"

namespace onnxport::test {
namespace {

const Recipe kKeep = {.scheme = KeepRecipe{}};

struct Shape2 {
  std::int64_t rows, columns;
};

Weight bytes(Shape2 shape, int below, std::int64_t seed) {
  std::vector<std::byte> values;
  for (std::int64_t i = 0; i < shape.rows * shape.columns; ++i)
    values.push_back(static_cast<std::byte>((i * 7919 + seed + i * i % 31) % below));
  return Weight::constant(DType::u8, {shape.rows, shape.columns}, std::move(values));
}

/// A matrix of integers in groups, whose order is that of `ranks`: "regular", "shuffled".
PackedWeight integers(Shape2 shape, int bits, std::int64_t group, bool zero_points, bool shuffled = false) {
  const std::int64_t groups = (shape.columns - 1) / group + 1;
  PackedWeight packed{.codes = bytes(shape, 1 << bits, 3),
                      .bits = bits,
                      .scales = wave({shape.rows, groups}, 0.5),
                      .zero_point = 1 << (bits - 1),
                      .group_size = group};
  if (zero_points) packed.zero_points = bytes({shape.rows, groups}, 1 << bits, 1);
  for (std::int64_t k = 0; shuffled && k < shape.columns; ++k)
    packed.group_of.push_back(k * 5 % shape.columns / group);  // 5 and the number of columns share no factor
  return packed;
}

Weight weight_of(const PackedWeight& packed, const std::string& name) {
  return described(affine(packed).named(name), packed);
}

TEST(QuantizeKeep, IntegersBecomeBlocks) {
  for (const int bits : {2, 3, 4, 5, 8}) {
    for (const std::int64_t group : {16, 32, 64, 512}) {
      for (const bool zero_points : {false, true}) {
        for (const bool shuffled : {false, true}) {
          SCOPED_TRACE(fmt::format("{} bits, groups of {}, {} {}", bits, group, zero_points, shuffled));
          const auto build = [&](Graph& graph) {
            const Value x = graph.input("x", {graph.float_dtype(), {B, 3, 144}});
            const ModulePath at(graph, "layer");
            const Weight weight = weight_of(integers({24, 144}, bits, group, zero_points, shuffled), "w");
            graph.output("y", op::linear(x, graph.weight(weight), graph.weight(wave({24}, 2, "bias"))));
          };
          const Quantized one(build, kKeep);
          ASSERT_EQ(one.summary().layers.size(), 1U);
          EXPECT_EQ(one.summary().kept, 1U);
          EXPECT_EQ(count_of(ops_of(one.lowered()), "MatMulNBits"), 1U);
          EXPECT_EQ(count_of(ops_of(one.lowered()), "Gather"), shuffled && group < 144 ? 1U : 0U);
          one.check(2e-6, 1e-5, false);
          Quantized(build, kKeep, DType::f16).check(8e-3, 2e-2, false);
        }
      }
    }
  }
}

TEST(QuantizeKeep, LayersShareInputsInTheSameOrder) {
  const auto build = [](Graph& graph) {
    const Value x = graph.input("x", {DType::f32, {B, 144}});
    for (const char* name : {"q", "k"}) {
      const ModulePath at(graph, name);
      const std::int64_t rows = *name == 'q' ? 32 : 16;
      graph.output(name,
                   op::linear(x, graph.weight(weight_of(integers({rows, 144}, 4, 16, true, true), name))));
    }
  };
  const Quantized one(build, kKeep);
  EXPECT_EQ(one.summary().kept, 2U);
  EXPECT_EQ(count_of(ops_of(one.lowered()), "Gather"), 1U);
  one.check(2e-6, 1e-5, false);
}

// A product with a transposed matrix, and a factor behind it, which codes cannot absorb.
TEST(QuantizeKeep, ProductsAndFactors) {
  const auto build = [](Graph& graph) {
    const Value x = graph.input("x", {DType::f32, {B, 2, 32}});
    const Weight weight = weight_of(integers({24, 32}, 4, 16, true), "w");
    const Value y = op::matmul(x, graph.weight(weight.permute({1, 0})));
    graph.output("y", op::mul(y, graph.weight(wave({24}, 1, "scale"))));
  };
  const Quantized one(build, kKeep);
  EXPECT_EQ(one.summary().kept, 1U);
  EXPECT_EQ(count_of(ops_of(one.lowered()), "MatMulNBits"), 1U);
  one.check(2e-6, 1e-5, false);
}

TEST(QuantizeKeep, Embeddings) {
  for (const int bits : {4, 8}) {
    const auto build = [&](Graph& graph) {
      const Value ids = graph.input("ids", {DType::i64, {B, 3}});
      graph.output("y",
                   op::embedding(graph.weight(weight_of(integers({40, 48}, bits, 16, true), "table")), ids));
    };
    const Quantized one(build, kKeep);
    EXPECT_EQ(one.summary().kept, 1U);
    EXPECT_EQ(count_of(ops_of(one.lowered()), "GatherBlockQuantized"), 1U);
    one.check(2e-6, 1e-6, false);
  }
}

// Matrices that a definition stacks: those of one layer, and experts.
TEST(QuantizeKeep, RowsOfSeveralMatrices) {
  const auto whole = [](const std::vector<Weight>& parts) { return Weight::concat(parts, 0).named("all"); };
  for (const bool shuffled : {false, true}) {
    const auto build = [&](Graph& graph) {
      const Value x = graph.input("x", {DType::f32, {B, 144}});
      const Weight weight = whole({weight_of(integers({24, 144}, 4, 16, true, shuffled), "q"),
                                   weight_of(integers({8, 144}, 3, 16, true, shuffled), "k")});
      graph.output("y", op::linear(x, graph.weight(weight)));
    };
    const Quantized one(build, kKeep);
    EXPECT_EQ(one.summary().kept, 1U);
    EXPECT_EQ(count_of(ops_of(one.lowered()), "MatMulNBits"), 1U);
    one.check(2e-6, 1e-5, false);
  }
  const auto other = [&](Graph& graph) {
    const Value x = graph.input("x", {DType::f32, {B, 64}});
    const Weight weight = whole(
        {weight_of(integers({24, 64}, 4, 16, true), "q"), weight_of(integers({8, 64}, 4, 32, true), "k")});
    graph.output("y", op::linear(x, graph.weight(weight)));
  };
  EXPECT_EQ(
      Quantized(other, kKeep).summary().lost,
      (std::map<std::string, std::set<std::string>>{{"rows of matrices with different blocks", {"all"}}}));
}

TEST(QuantizeKeep, Experts) {
  const auto build = [](Graph& graph) {
    const Value x = graph.input("x", {graph.float_dtype(), {B, 64}});
    const auto stack = [&](std::int64_t rows, std::int64_t columns, const char* name) {
      std::vector<Weight> parts;
      for (int expert = 0; expert < 4; ++expert)
        parts.push_back(weight_of(integers({rows, columns}, 4, 16, true), name));
      return graph.weight(Weight::concat(parts, 0).reshape({4, rows, columns}).named(name));
    };
    const Value routing = op::softmax(op::linear(x, graph.weight(wave({4, 64}, 5, "router"))), -1);
    const ModulePath at(graph, "experts");
    const op::Experts experts{
        .gate = stack(32, 64, "gate"), .up = stack(32, 64, "up"), .down = stack(64, 32, "down")};
    graph.output("y", op::mixture_of_experts(x, routing, experts, "silu"));
  };
  const Quantized one(build, kKeep);
  EXPECT_EQ(one.summary().kept, 3U);
  one.check(2e-5, 1e-5, false);
}

PackedWeight table4(Shape2 shape, Bnb4Type type, std::int64_t block) {
  std::vector<double> table;
  for (const float value : bnb4_values(type)) table.push_back(value);
  return {.codes = bytes(shape, 16, 5),
          .bits = 4,
          .scales = wave({(shape.rows * shape.columns - 1) / block + 1}, 0.4),
          .table = Weight::from_doubles(DType::f32, {16}, table),
          .group_size = block};
}

TEST(QuantizeKeep, TablesOfBitsandbytes) {
  for (const Bnb4Type type : {Bnb4Type::nf4, Bnb4Type::fp4}) {
    const auto build = [&](Graph& graph) {
      const Value x = graph.input("x", {graph.float_dtype(), {B, 80}});
      const PackedWeight packed = table4({24, 80}, type, 64);
      graph.output("y", op::linear(x, graph.weight(described(wave({24, 80}, 1, "w"), packed))));
    };
    const Quantized one(build, kKeep);
    EXPECT_EQ(one.summary().kept, 1U);
    EXPECT_EQ(count_of(ops_of(one.lowered()), "MatMulBnb4"), 1U);
    one.check(2e-6, 4);  // the values of the codes are not those of this wave
    const Quantized half(build, kKeep, DType::f16);
    EXPECT_EQ(half.summary().kept, 0U);
    EXPECT_EQ(half.summary().lost.size(), 1U);
  }
}

// An override decides before the checkpoint does; other layers without codes stay floats.
TEST(QuantizeKeep, OverridesAndFloats) {
  const auto build = [](Graph& graph) {
    const Value x = graph.input("x", {DType::f32, {B, 64}});
    const Value narrow = graph.input("n", {DType::f32, {B, 48}});
    for (const char* name : {"kept", "plain", "head", "none"}) {
      const ModulePath at(graph, name);
      const bool coded = std::string(name) == "kept" || std::string(name) == "none";
      const Weight weight =
          coded ? weight_of(integers({24, 64}, 4, 16, false), name) : wave({24, 64}, 1, name);
      graph.output(name, op::linear(x, graph.weight(weight)));
    }
    graph.output("lost",
                 op::linear(narrow, graph.weight(weight_of(integers({24, 48}, 4, 24, false), "lost"))));
  };
  const Recipe recipe = {.scheme = KeepRecipe{}, .overrides = {{"head", "q8"}, {"none", "none"}}};
  const transform::QuantizeSummary summary = Quantized(build, recipe).summary();
  ASSERT_EQ(summary.layers.size(), 2U);
  EXPECT_EQ(summary.layers[0].weight, "kept");
  EXPECT_EQ(summary.layers[0].precision, "4 bits in blocks of 16");
  EXPECT_EQ(summary.layers[1].weight, "head");
  EXPECT_EQ(summary.layers[1].precision, "8 bits in blocks of 32");
  EXPECT_EQ(summary.kept, 1U);
  EXPECT_EQ(summary.lost, (std::map<std::string, std::set<std::string>>{{"groups of 24 inputs", {"lost"}}}));
}

}  // namespace
}  // namespace onnxport::test
