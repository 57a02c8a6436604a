#include <gtest/gtest.h>

#include "onnxport/dim.h"
#include "onnxport/error.h"
#include "onnxport/graph.h"
#include "onnxport/op.h"

namespace onnxport {
namespace {

const Dim a = Dim::symbol("a");
const Dim b = Dim::symbol("b");

TEST(Dim, PolynomialsThatAreEqualPrintAlike) {
  EXPECT_EQ((a + b).str(), "a + b");
  EXPECT_EQ((b + a), (a + b));
  EXPECT_EQ((a + b) - b, a);
  EXPECT_EQ((a - a), Dim(0));
  EXPECT_EQ((2 * a * b + 3).str(), "2*a*b + 3");
  EXPECT_EQ((Dim(0) - a + 1).str(), "-a + 1");
  EXPECT_NE(a, b);
  EXPECT_NE(a, Dim(1));
}

TEST(Dim, ParsesWhatItPrints) {
  for (const Dim& dim : {a, a + b, 2 * a * b - 3, (a + 1).floor_div(2), (a - 2).floor_div(16) * b + 1, Dim(7),
                         Dim::symbol("batch_size x num_heads") + 1}) {
    EXPECT_EQ(Dim::parse(dim.str()), dim) << dim.str();
  }
  EXPECT_EQ(Dim::parse("past_sequence_length + sequence_length"),
            Dim::symbol("sequence_length") + Dim::symbol("past_sequence_length"));
  EXPECT_EQ(Dim::parse("( ( a - 10 ) // 5 + 1 - 3 ) // 2 + 1"),
            ((Dim::symbol("a") - 10).floor_div(5) + 1 - 3).floor_div(2) + 1);
  EXPECT_EQ(Dim::parse("4 * a // 2 * b"), 2 * Dim::symbol("a") * Dim::symbol("b"));
  EXPECT_THROW(Dim::parse("a / 2"), ExportError);
  EXPECT_THROW(Dim::parse("a // 0"), ExportError);
  EXPECT_THROW(Dim::parse("a // b"), ExportError);
  EXPECT_THROW(Dim::parse("a + "), ExportError);
  EXPECT_THROW(Dim::parse("(a"), ExportError);
  EXPECT_THROW(Dim::parse("floor(a/0)"), ExportError);
  EXPECT_THROW(Dim::parse(std::string(1000, '(')), ExportError);
  EXPECT_THROW(Dim::parse("99999999999999999999"), ExportError);
}

TEST(Dim, Evaluates) {
  const DimBindings bindings = {{"a", 5}, {"b", 3}};
  EXPECT_EQ((2 * a * b - 1).evaluate(bindings), 29);
  EXPECT_EQ((a - 2).floor_div(2).evaluate(bindings), 1);
  EXPECT_EQ((Dim(0) - a).floor_div(2).evaluate(bindings), -3);
  EXPECT_THROW(Dim::symbol("c").evaluate(bindings), ExportError);
  EXPECT_EQ(((a + b).floor_div(3) + a).substitute({{"a", 4}, {"b", 2 * b}}), (2 * b + 4).floor_div(3) + 4);
}

TEST(Dim, Divides) {
  EXPECT_EQ((4 * a * b + 2 * a).exact_div(2 * a), 2 * b + 1);
  EXPECT_EQ((a + 1).exact_div(a), std::nullopt);
  EXPECT_EQ((4 * a + 6).floor_div(2), 2 * a + 3);
  EXPECT_EQ((4 * a + 7).floor_div(2), 2 * a + 3);
  EXPECT_EQ((a + 7).floor_div(2).str(), "floor((a + 1)/2) + 3");
  EXPECT_EQ(Dim(-3).floor_div(2), Dim(-2));
}

TEST(Dim, Broadcasts) {
  EXPECT_EQ(broadcast({a, 1, 4}, {b, 1}), (Shape{a, b, 4}));
  EXPECT_EQ(broadcast({a}, {b}), std::nullopt);
  EXPECT_EQ(broadcast({}, {b}), (Shape{b}));
}

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const ExportError& error) {
    EXPECT_EQ(error.code(), ErrorCode::shape);
    return error.what();
  }
  return "nothing was thrown";
}

TEST(Ops, AMistakeNamesOpPathAndShapes) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {a, 4}});
  const Value weight = graph.input("weight", {DType::f32, {3, 5}});
  const ModulePath at(graph, "encoder.layer.0.dense");
  EXPECT_EQ(message_of([&] { op::linear(x, weight); }),
            "linear at encoder.layer.0.dense: input [a, 4] and weight [3, 5] do not fit");
  EXPECT_EQ(message_of([&] { op::add(x, weight); }),
            "add at encoder.layer.0.dense: shapes [a, 4] and [3, 5] do not broadcast");
  EXPECT_NE(message_of([&] { op::add(x, op::cast(x, DType::f16)); }).find("different dtype"),
            std::string::npos);
  EXPECT_NE(message_of([&] { op::reshape(x, {a, 3}); }).find("4*a elements, expected 3*a"),
            std::string::npos);
  EXPECT_NE(message_of([&] { op::permute(x, {0, 0}); }).find("twice"), std::string::npos);
  EXPECT_NE(message_of([&] { op::slice(x, 1, 2, 9); }).find("outside"), std::string::npos);
  EXPECT_NE(message_of([&] { op::softmax(x, 5); }).find("axis 5 is out of range"), std::string::npos);
  EXPECT_NE(message_of([&] { op::squeeze(x, 1); }).find("is not 1"), std::string::npos);
  EXPECT_NE(message_of([&] { op::logical_not(x); }).find("boolean"), std::string::npos);
}

TEST(Ops, NoOpMakesNoNode) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {a, 4}});
  EXPECT_EQ(op::cast(x, DType::f32), x);
  EXPECT_EQ(op::reshape(x, {a, -1}), x);
  EXPECT_EQ(op::permute(x, {0, 1}), x);
  EXPECT_EQ(op::slice(x, 1, 0, 4), x);
  EXPECT_EQ(op::expand(x, {a, 4}), x);
  EXPECT_EQ(graph.nodes().size(), 1U);
}

TEST(Graph, PrintsOneNodePerLine) {
  Graph graph;
  const Value x = graph.input("x", {DType::f32, {a, 4}});
  {
    const ModulePath at(graph, "head");
    graph.output("y", op::softmax(x, -1));
  }
  EXPECT_EQ(print(graph),
            "input x : float32[a, 4]\n%1 = softmax(x, axis=1) : float32[a, 4]  # head\noutput y = %1 : "
            "float32[a, 4]\n");
}

TEST(Graph, VerifyFindsValuesOfOtherGraphs) {
  Graph graph;
  Graph other;
  const Value x = other.input("x", {DType::f32, {a}});
  EXPECT_THROW(op::add(graph.input("y", {DType::f32, {a}}), x), ExportError);
  graph.output("x", x);
  EXPECT_THROW(verify(graph), ExportError);
}

TEST(Graph, EqualWeightsAreMadeOnce) {
  Graph graph;
  EXPECT_EQ(op::scalar(graph, 2.0, DType::f32), op::scalar(graph, 2.0, DType::f32));
  EXPECT_NE(op::scalar(graph, 2.0, DType::f32), op::scalar(graph, 2.0, DType::f16));
}

}  // namespace
}  // namespace onnxport
