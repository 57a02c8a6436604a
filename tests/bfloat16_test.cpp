// What the interpreter rounds in graphs of bfloat16: what the file that is validated rounds, too.
#include <gtest/gtest.h>

#include <functional>

#include "onnxport/graph.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

double cast_of(double x, const std::function<Value(Value)>& computed) {
  Graph graph(DType::bf16);
  const Value in = graph.input("x", {DType::f32, {1}});
  graph.output("y", op::cast(computed(in), DType::bf16));
  const reference::Case given = {{"x", Tensor::from_doubles(DType::f32, {1}, {&x, 1})}};
  return reference::interpret(graph, {given}).at(0).at(0).reals.at(0);
}

TEST(Bfloat16, RoundsWhatIsGivenAndKeepsTheDigitsOfComputedValues) {
  EXPECT_EQ(cast_of(257, [](Value x) { return x; }), 256);
  EXPECT_EQ(cast_of(257, [](Value x) { return op::add(x, 0.5); }), 257.5);
}

TEST(Bfloat16, RoundsTheCosinesAndSinesOfPositions) {
  EXPECT_EQ(cast_of(1, [](Value x) { return op::cos(x); }), 0.5390625);
  EXPECT_EQ(cast_of(1, [](Value x) { return op::mul(op::sin(x), 2.0); }), 1.6796875);
}

}  // namespace
}  // namespace onnxport::test
