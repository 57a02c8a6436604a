#include "pass/passes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "golden_fixture.h"
#include "lower/lower.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"
#include "onnxport/tasks_manager.h"
#include "pipeline/lower_model.h"
#include "support/temp_folder.h"

namespace onnxport {
namespace {

const Dim B = Dim::symbol("B");
const Dim S = Dim::symbol("S");

std::size_t count(const Graph& graph, Op op) {
  return static_cast<std::size_t>(std::count_if(graph.nodes().begin(), graph.nodes().end(),
                                                [&](const Node& node) { return node.op == op; }));
}

Weight ramp(std::vector<std::int64_t> shape, double start, std::string name = {}) {
  std::int64_t size = 1;
  for (const std::int64_t extent : shape) size *= extent;
  std::vector<double> values(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = start + static_cast<double>(i);
  return Weight::from_doubles(DType::f32, std::move(shape), values, std::move(name));
}

TEST(FoldWeights, ArithmeticOnWeightsAloneBecomesAWeight) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {B, 2}});
  const Value w = graph.weight(ramp({2}, 1, "norm.weight"));
  const Value one_plus = op::add(w, 1.0);
  graph.output("y", op::mul(x, one_plus));
  const Graph folded = pass::remove_dead(pass::fold_weights(std::move(graph)));
  EXPECT_EQ(count(folded, Op::add), 0U);
  const Value operand = folded.outputs()[0].second.node()->inputs[1];
  ASSERT_EQ(operand.node()->op, Op::weight);
  EXPECT_EQ(operand.node()->weight.to_doubles(), (std::vector<double>{2, 3}));
}

TEST(FoldWeights, FunctionsOfWeightsAloneBecomeWeights) {
  Graph graph;
  const Value w = graph.weight(ramp({2}, 1, "scale"));
  const std::pair<Value, double (*)(double)> results[] = {
      {op::sqrt(w), [](double x) { return std::sqrt(x); }},
      {op::exp(w), [](double x) { return std::exp(x); }},
      {op::sin(w), [](double x) { return std::sin(x); }},
      {op::cos(w), [](double x) { return std::cos(x); }}};
  for (const auto& [value, function] : results)
    graph.output("y" + std::to_string(graph.outputs().size()), value);
  const Graph folded = pass::fold_weights(std::move(graph));
  for (std::size_t i = 0; i < std::size(results); ++i) {
    const Node& node = *folded.outputs()[i].second.node();
    ASSERT_EQ(node.op, Op::weight) << i;
    EXPECT_EQ(node.weight.to_doubles()[1], static_cast<float>(results[i].second(2))) << i;
  }
}

TEST(FoldWeights, WhatDependsOnInputsStays) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {B, 2}});
  const Value table = graph.weight(ramp({9, 2}, 0, "table"));
  graph.output("y", op::add(x, op::slice(table, 0, 0, B)));
  EXPECT_EQ(count(pass::fold_weights(std::move(graph)), Op::slice), 1U);
}

// One layer of an encoder, of which a classifier looks at some tokens.
class Narrow : public testing::Test {
 protected:
  Graph graph;
  const Dim L = Dim::symbol("length");
  const Value x = graph.input("x", {DType::f32, {B, L, 8}});

  Value linear(Value value, double start) {
    return op::linear(value, graph.weight(ramp({8, 8}, start, "w")));
  }
  Value heads(Value value) { return op::permute(op::reshape(value, {B, L, 2, 4}), {0, 2, 1, 3}); }
  Value layer(Value hidden) {
    const Value query = heads(linear(hidden, 0)), key = heads(linear(hidden, 1)),
                value = heads(linear(hidden, 2));
    const Value context = op::scaled_dot_product_attention(query, key, value);
    const Value merged = op::reshape(op::permute(context, {0, 2, 1, 3}), {B, L, 8});
    const Value attended = op::add(hidden, linear(merged, 3));
    const Value normed = op::layer_norm(attended, {}, {}, 1e-5);
    return op::add(attended, op::gelu(linear(normed, 4)));
  }
  // Extents of the second axis of every linear of three axes, in order.
  static std::vector<std::string> lengths(const Graph& graph) {
    std::vector<std::string> found;
    for (const Node& node : graph.nodes()) {
      if (node.op == Op::linear && node.outputs[0].shape.size() == 3)
        found.push_back(node.outputs[0].shape[1].str());
    }
    return found;
  }
  Graph narrowed() { return pass::remove_dead(pass::narrow(std::move(graph))); }
};

using Lengths = std::vector<std::string>;

TEST_F(Narrow, OnlyTheFirstTokenIsComputed) {
  graph.output("y", op::select(layer(layer(x)), 1, 0));
  const Graph result = narrowed();
  verify(result);
  const std::string all = "length";
  EXPECT_EQ(lengths(result), (Lengths{all, all, all, all, all, "1", all, all, "1", "1"}));
  EXPECT_EQ(count(result, Op::slice), 2U);  // of the hidden states, for the query and for the sum
}

TEST_F(Narrow, TwoTokensAreComputedTogether) {
  const Value hidden = layer(x);
  graph.output("first", op::select(hidden, 1, 0));
  graph.output("third", op::select(hidden, 1, 2));
  const Graph result = narrowed();
  verify(result);
  EXPECT_EQ(lengths(result), (Lengths{"3", "length", "length", "3", "3"}));
}

TEST_F(Narrow, WhatIsLookedAtWholeStays) {
  const Value hidden = layer(x);
  graph.output("first", op::select(hidden, 1, 0));
  graph.output("all", op::relu(hidden));
  EXPECT_EQ(lengths(narrowed()), (Lengths{"length", "length", "length", "length", "length"}));
}

TEST_F(Narrow, NothingForARangeThatIsNotKnown) {
  graph.output("last", op::slice(layer(x), 1, L - 1, L));
  EXPECT_EQ(lengths(narrowed()).back(), "length");
}

TEST_F(Narrow, NothingForElementsOfTheLastAxis) {
  graph.output("y", op::slice(layer(x), 2, 0, 4));
  const std::string before = print(graph);
  EXPECT_EQ(print(pass::narrow(std::move(graph))), before);
}

TEST(BiasForGelu, OnlyWhereGeluAloneTakesTheResult) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {B, 4}});
  const auto linear = [&](Value input) {
    return op::linear(input, graph.weight(ramp({4, 4}, 0, "w")), graph.weight(ramp({4}, 0, "b")));
  };
  const Value hidden = op::gelu(linear(x), "tanh");
  const Value shared = linear(hidden);
  const Value smooth = op::gelu(shared);
  graph.output("y", op::add(smooth, op::relu(shared)));
  const Graph split = pass::bias_for_gelu(std::move(graph));
  std::vector<Op> ops;
  for (const Node& node : split.nodes()) {
    if (node.op != Op::weight && node.op != Op::input) ops.push_back(node.op);
  }
  EXPECT_EQ(ops, (std::vector{Op::linear, Op::add, Op::gelu, Op::linear, Op::gelu, Op::relu, Op::add}));
  EXPECT_EQ(split.nodes().back().outputs[0].shape, (Shape{B, 4}));
}

TEST(Legalize, QueriesAndKeysOfOneProjectionTurnTogether) {
  for (const bool swapped : {false, true}) {
    Graph graph;
    const Value x = graph.input("x", {DType::f32, {B, 5, 16}});
    const Value positions = graph.input("positions", {DType::i64, {1, 5}});
    const Value frequencies = graph.input("frequencies", {DType::f32, {2}});
    const std::vector<Value> parts = op::chunk(x, 2, 2);
    const op::AttentionOperands operands = {.query = parts[swapped ? 1 : 0],
                                            .key = parts[swapped ? 0 : 1],
                                            .value = parts[0],
                                            .rope = {positions, frequencies}};
    Node& node = *op::attention(operands, 2, 2).output.node();
    const std::size_t before = count(graph, Op::concat);
    op::detail::decompose(node);
    // Queries and keys are joined only where they have to be.
    EXPECT_EQ(count(graph, Op::concat) - before, swapped ? 1U : 0U);
    EXPECT_EQ(count(graph, Op::rotary_embedding), 1U);
  }
}

TEST(MergeCommon, EqualNodesAreMadeOnce) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {B, 2}});
  const Value left = op::softmax(x, 1);
  const Value right = op::softmax(x, 1);
  const Value other = op::softmax(x, 0);
  graph.output("y", op::add(op::add(left, right), other));
  EXPECT_EQ(count(pass::merge_common(std::move(graph)), Op::softmax), 2U);
}

TEST(MergeWeights, EqualBytesAreStoredOnceWhateverTheirName) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {B, 4}});
  const Value first = graph.weight(ramp({4, 4}, 0, "embedding"));
  const Value second = graph.weight(ramp({4, 4}, 0, "lm_head"));
  const Value third = graph.weight(ramp({4, 4}, 1, "other"));
  graph.output("y", op::matmul(op::matmul(op::matmul(x, first), second), third));
  const Graph merged = pass::remove_dead(pass::merge_weights(std::move(graph)));
  EXPECT_EQ(count(merged, Op::weight), 2U);
}

TEST(RemoveDead, KeepsInputsAndWhatOutputsNeed) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {B}});
  graph.input("unused", {DType::f32, {B}});
  op::exp(x);
  graph.output("y", op::relu(x));
  const Graph clean = pass::remove_dead(std::move(graph));
  EXPECT_EQ(clean.nodes().size(), 3U);
  EXPECT_EQ(clean.inputs().size(), 2U);
}

TEST(Legalize, DecomposesUntilNothingIsLeft) {
  const auto legal = [](bool with_gelu) {
    Graph graph;
    const Value x = graph.input("x", {DType::f32, {B, 2, S, 4}});
    graph.output("y", op::gelu(op::scaled_dot_product_attention(x, x, x)));
    return pass::legalize(std::move(graph), [&](const Node& node) -> pass::Expansion {
      const bool stays = !op::detail::is_composite(node.op) || (with_gelu && node.op == Op::gelu);
      return stays ? nullptr : op::detail::decompose;
    });
  };
  const Graph none = legal(false);
  for (const Node& node : none.nodes()) EXPECT_FALSE(op::detail::is_composite(node.op)) << to_string(node.op);
  EXPECT_EQ(count(legal(true), Op::gelu), 1U);
}

TEST(FlattenLinear, ReshapesBetweenRowwiseNodesCancel) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {B, S, 4}});
  const Value w = graph.weight(ramp({4, 4}, 0, "w"));
  const Value bias = graph.weight(ramp({4}, 0, "b"));
  const Value first = op::relu(op::linear(x, w, bias));
  const Value second = op::layer_norm(op::add(op::linear(first, w, bias), first), bias, bias, 1e-5);
  graph.output("y", second);
  const Graph flat = pass::simplify(pass::flatten_linear(std::move(graph)));
  EXPECT_EQ(count(flat, Op::reshape), 2U) << print(flat);
  EXPECT_EQ(flat.outputs()[0].second.type(), (TensorType{DType::f32, {B, S, 4}}));
  for (const Node& node : flat.nodes()) {
    if (node.op == Op::linear) {
      EXPECT_EQ(node.outputs[0].shape, (Shape{B * S, 4}));
    }
  }
}

// The limits that the project promises for the graph of a text encoder.
TEST(Graphs, ABertLayerIsSmall) {
  const test::GoldenFixture fixture = test::read_fixture("bert/feature-extraction");
  const TempFolder folder;
  test::synthesize(fixture, folder.path());
  const Model model = TasksManager::instance().get_model_from_task("feature-extraction", folder.path());
  const auto config =
      TasksManager::instance().get_exporter_config_constructor(model)(model.config(), model.task(), {});
  const OnnxGraph lowered = pipeline::lower_graph(model.build(*config), {});
  constexpr std::size_t kLayers = 2;
  // 400 nodes for the twelve layers of BERT-base leave 32 a layer and 16 around them.
  EXPECT_LE(lowered.nodes.size(), 32 * kLayers + 16);
  for (const OnnxNode& node : lowered.nodes) EXPECT_NE(node.op_type, "Identity");
}

}  // namespace
}  // namespace onnxport
