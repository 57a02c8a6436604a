// GGUF matrices with their codes: every block format in its parts, and layers that keep them.
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "checkpoint/ggml_blocks.h"
#include "gguf_bytes.h"
#include "ir/weight_packed.h"
#include "quantized_graph.h"

namespace onnxport::test {
namespace {

class GgufKeep : public GgufTest {
 protected:
  /// A matrix [rows, columns] of random blocks, whose scales are finite.
  Weight matrix(std::uint32_t number, std::int64_t rows, std::int64_t columns) {
    const gguf::TensorType& type = *gguf::find_type(number);
    std::string bytes(static_cast<std::size_t>(rows * columns / type.blocks->elements * type.blocks->bytes),
                      0);
    for (char& byte : bytes) byte = static_cast<char>(random_() & 0xbb);  // halves below 1
    const gguf::Contents contents = read(Writer().tensor("w", {columns, rows}, number, bytes).bytes());
    return contents.tensors[0].weight;
  }

  static std::vector<std::uint32_t> formats() {
    std::vector<std::uint32_t> numbers;
    for (std::uint32_t number = 0; number < 64; ++number) {
      const gguf::TensorType* type = gguf::find_type(number);
      if (type != nullptr && type->parts != nullptr) numbers.push_back(number);
    }
    return numbers;
  }

  std::mt19937 random_{3};  // NOLINT: the same numbers each time
};

// Codes that are no integers have no parts.
TEST_F(GgufKeep, FloatCodes) {
  std::string bytes(17, 0);
  bytes[0] = static_cast<char>(128);  // 2^1
  for (int i = 0; i < 16; ++i) bytes[static_cast<std::size_t>(i) + 1] = static_cast<char>(i | (15 - i) << 4);
  const gguf::Contents contents = read(Writer().tensor("w", {32, 1}, 39, bytes).bytes());
  EXPECT_EQ(packed_of(contents.tensors[0].weight), nullptr);
  std::vector<double> expected = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  for (std::size_t i = 16; i-- > 0;) expected.push_back(expected[i]);
  EXPECT_EQ(contents.tensors[0].weight.to_doubles(), expected);
}

TEST_F(GgufKeep, PartsGiveTheValues) {
  EXPECT_EQ(formats().size(), 10U);
  for (const std::uint32_t number : formats()) {
    SCOPED_TRACE(std::string(gguf::find_type(number)->name));
    const Weight weight = matrix(number, 40, 512);
    const auto packed = packed_of(weight);
    ASSERT_NE(packed, nullptr);
    const std::vector<double> values = weight.to_doubles(),
                              codes = packed->codes.cast(DType::f32).to_doubles(),
                              scales = packed->scales.to_doubles();
    const std::vector<double> offsets =
        packed->offsets ? packed->offsets.to_doubles() : std::vector<double>();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t group = i / static_cast<std::size_t>(packed->group_size);
      ASSERT_LT(codes[i], 1 << packed->bits);
      const double product = (codes[i] - packed->zero_point) * scales[group];
      if (offsets.empty()) {
        ASSERT_EQ(static_cast<float>(product), static_cast<float>(values[i])) << i;
      } else {
        // The offset is rounded once, and so is the value.
        const double size = std::abs(product) + 2 * std::abs(offsets[group]);
        ASSERT_NEAR(product + offsets[group], values[i], size * 0x1p-23) << i;
      }
    }
  }
}

TEST_F(GgufKeep, LayersKeepTheirCodes) {
  for (const std::uint32_t number : formats()) {
    SCOPED_TRACE(std::string(gguf::find_type(number)->name));
    const Weight weight = matrix(number, 24, 512);
    const auto build = [&](Graph& graph) {
      const Value x = graph.input("x", {DType::f32, {B, 3, 512}});
      const ModulePath at(graph, "layer");
      graph.output("y", op::linear(x, graph.weight(weight), graph.weight(wave({24}, 2, "bias"))));
    };
    const Quantized one(build, {.scheme = KeepRecipe{}});
    EXPECT_EQ(one.summary().kept, 1U);
    EXPECT_EQ(count_of(ops_of(one.lowered()), "MatMulNBits"), 1U);
    EXPECT_EQ(count_of(ops_of(one.lowered()), "ReduceSum"), packed_of(weight)->offsets ? 1U : 0U);
    one.check(2e-6, 1e-5, false);
  }
}

TEST_F(GgufKeep, EmbeddingsKeepTheirCodes) {
  for (const std::uint32_t number : formats()) {
    SCOPED_TRACE(std::string(gguf::find_type(number)->name));
    const Weight table = matrix(number, 40, 512);
    const auto build = [&](Graph& graph) {
      const Value ids = graph.input("ids", {DType::i64, {B, 3}});
      graph.output("y", op::embedding(graph.weight(table), ids));
    };
    const Quantized one(build, {.scheme = KeepRecipe{}});
    EXPECT_EQ(one.summary().kept, 1U);
    EXPECT_EQ(count_of(ops_of(one.lowered()), "GatherBlockQuantized"), 1U);
    one.check(2e-6, 1e-6, false);
  }
}

}  // namespace
}  // namespace onnxport::test
