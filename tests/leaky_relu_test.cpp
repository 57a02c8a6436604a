// pass::leaky_relu, and the ONNX forms of its result.
#include <gtest/gtest.h>

#include "lower/lower.h"
#include "onnxport/nn/sound.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "pass/passes.h"
#include "pass/rebuild.h"
#include "pass_checks.h"

namespace onnxport::test {
namespace {

const Dim B = Dim::symbol("B");

std::vector<std::string> lowered_ops(const Graph& graph, int opset) {
  std::vector<std::string> types;
  for (const OnnxNode& node : lower::lower(graph, {.opset = opset}).nodes) types.push_back(node.op_type);
  return types;
}

TEST(LeakyRelu, TheLargerOfXAndItsPartIsOneNode) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {B, 5}});
  graph.output("y", nn::leaky_relu(x, 0.25));
  graph.output("turned", op::maximum(op::mul(op::scalar(graph, 0.5, DType::f32), x), x));
  const Graph result = pass::simplify(pass::leaky_relu(pass::copy(graph)));
  EXPECT_EQ(count(result, Op::relu), 2U) << print(result);
  EXPECT_EQ(count(result, Op::mul), 0U);
  expect_same_values(graph, result, {{"B", 2}});
  EXPECT_EQ(lowered_ops(result, 18), (std::vector<std::string>{"LeakyRelu", "LeakyRelu"}));
}

TEST(LeakyRelu, BFloat16HasItSinceOpset16) {
  Graph graph(DType::bf16);
  graph.output("y", nn::leaky_relu(graph.input("x", {DType::bf16, {B, 5}})));
  const Graph result = pass::simplify(pass::leaky_relu(std::move(graph)));
  EXPECT_EQ(lowered_ops(result, 16), std::vector<std::string>{"LeakyRelu"});
  EXPECT_EQ(lowered_ops(result, 15), (std::vector<std::string>{"Mul", "Max"}));
}

TEST(LeakyRelu, OtherMaximaStay) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {B, 5}}), y = graph.input("y", {DType::f32, {B, 5}});
  const Value ids = op::arange(graph, B);
  graph.output("other", op::maximum(x, op::mul(y, 0.5)));
  graph.output("steep", op::maximum(x, op::mul(x, 1.5)));
  graph.output("negative", op::maximum(x, op::mul(x, -0.5)));
  graph.output("slopes", op::maximum(x, op::mul(x, graph.weight(wave({5}, 0)))));
  graph.output("floor", op::maximum(x, 0.5));
  graph.output("integers", op::maximum(ids, op::mul(ids, 1.0)));
  EXPECT_EQ(print(pass::leaky_relu(pass::copy(graph))), print(graph));
}

}  // namespace
}  // namespace onnxport::test
