// Which blocks the tokens of a long text see, against a plain loop.
#include "onnxport/nn/block_sparse.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "errors.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

constexpr nn::BlockSparsity kBlocks{.block = 2, .random_blocks = 1};  // at most 14 tokens are seen whole

struct Sight {
  std::vector<double> visible, bias, keep;
};

// The last token of the second row is padding.
Sight look(std::int64_t length) {
  Graph graph;
  const Dim tokens = Dim::symbol("tokens");
  const Value mask = graph.input("mask", {DType::i64, {2, tokens}});
  const nn::BlockSight sight = nn::block_sight(mask, kBlocks, DType::f32);
  graph.output("visible", op::cast(sight.mask.visible, DType::f32));
  graph.output("bias", sight.mask.bias);
  graph.output("keep", sight.keep);
  std::vector<std::int64_t> real(static_cast<std::size_t>(2 * length), 1);
  real.back() = 0;
  const auto results =
      reference::interpret(graph, {{{"mask", Tensor::from_ints(DType::i64, {2, length}, real)}}});
  return {results[0][0].reals, results[0][1].reals, results[0][2].reals};
}

TEST(BlockSight, OfAShortTextIsWhole) {
  const Sight sight = look(14);
  for (const double seen : sight.visible) EXPECT_EQ(seen, 1);
  for (const double bias : sight.bias) EXPECT_EQ(bias, 0);
  for (const double keep : sight.keep) EXPECT_EQ(keep, 1);
}

TEST(BlockSight, OfALongTextIsThatOfItsBlocks) {
  constexpr std::int64_t kLength = 17, kLast = 8;  // nine blocks, the last one with a single token
  const Sight sight = look(kLength);
  ASSERT_EQ(sight.visible.size(), static_cast<std::size_t>(kLength * kLength));
  for (std::int64_t query = 0; query < kLength; ++query) {
    for (std::int64_t key = 0; key < kLength; ++key) {
      const std::int64_t from = query / 2, to = key / 2;
      const bool outer = from == 0 || from == kLast;
      const bool seen = outer || to == 0 || to == kLast || std::abs(from - to) < 2;
      const auto i = static_cast<std::size_t>(query * kLength + key);
      EXPECT_EQ(sight.visible[i], seen ? 1 : 0) << query << ", " << key;
      // The random block is the first one, too.
      EXPECT_NEAR(sight.bias[i], !outer && to == 0 ? std::log(2.0) : 0, 1e-6) << query << ", " << key;
    }
  }
  for (std::size_t i = 0; i < sight.keep.size(); ++i)
    EXPECT_EQ(sight.keep[i], i + 1 < sight.keep.size() ? 1 : 0) << i;
}

TEST(BlockSight, RefusesImpossibleBlocks) {
  Graph graph;
  const Value mask = graph.input("mask", {DType::i64, {1, 4}});
  for (const nn::BlockSparsity& p : {nn::BlockSparsity{0, 1}, nn::BlockSparsity{2, -1}}) {
    const std::string message =
        complaint(ErrorCode::bad_config, [&] { nn::block_sight(mask, p, DType::f32); });
    EXPECT_NE(message.find("expected at least 1 and 0"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace onnxport::test
