// Values name graph, node and output; the graph owns the nodes.
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "errors.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"

namespace onnxport {
namespace {

using test::complaint;

const TensorType kType = {DType::f32, {Dim::symbol("B"), 3}};

TEST(Value, OfAGraphThatIsGoneThrows) {
  Value x, y;
  {
    Graph graph;
    x = graph.input("x", kType);
    y = op::relu(x);
  }
  for (const Value& value : {x, y}) {
    EXPECT_TRUE(value);  // not absent
    EXPECT_NE(complaint(ErrorCode::internal, [&] { value.type(); }).find("after its graph was destroyed"),
              std::string::npos);
    EXPECT_THROW(value.node(), ExportError);
    EXPECT_THROW(value.graph(), ExportError);
    EXPECT_THROW(value.dim(0), ExportError);
    EXPECT_THROW(op::relu(value), ExportError);
  }
  Graph other;
  const Value z = other.input("z", kType);
  EXPECT_THROW(op::add(z, x), ExportError);
  // Copies and comparisons need no graph.
  const Value copy = x;
  EXPECT_EQ(copy, x);
  EXPECT_NE(x, y);
  EXPECT_NE(x, z);
}

TEST(Value, FollowsItsGraph) {
  std::optional<Graph> first(std::in_place);
  const Value x = first->input("x", kType);
  const Value y = op::relu(x);
  Graph second = std::move(*first);
  first.reset();
  EXPECT_EQ(&y.graph(), &second);
  EXPECT_EQ(y.node(), &second.nodes()[1]);
  EXPECT_EQ(y.node()->inputs[0], x);
  const Value z = op::exp(y);
  EXPECT_EQ(z.node()->graph, &second);

  Graph third;
  const Value lost = third.input("lost", kType);
  third = std::move(second);
  EXPECT_EQ(&z.graph(), &third);
  EXPECT_EQ(z.type(), kType);
  EXPECT_THROW(lost.type(), ExportError);  // of the graph that was assigned to
  third.output("z", z);
  EXPECT_NO_THROW(verify(third));
}

TEST(Value, IsEqualToTheSameOutputOfTheSameNode) {
  Graph graph, other;
  const Value x = graph.input("x", kType), y = other.input("x", kType);
  const std::vector<Value> parts = op::split(x, 1, {1, 2});
  EXPECT_EQ(x, x.node()->out());
  EXPECT_EQ(parts[1], parts[0].node()->out(1));
  EXPECT_NE(parts[0], parts[1]);
  EXPECT_NE(x, y);  // the same place in another graph
  EXPECT_NE(x, Value());
  EXPECT_EQ(Value(), Value());
}

TEST(Value, IsAbsentByDefault) {
  const Value absent;
  EXPECT_FALSE(absent);
  EXPECT_EQ(absent.node(), nullptr);
  EXPECT_NE(complaint(ErrorCode::internal, [&] { absent.type(); }).find("an absent value"),
            std::string::npos);
  EXPECT_NE(complaint(ErrorCode::internal, [&] { absent.graph(); }).find("an absent value"),
            std::string::npos);
}

TEST(Value, BelongsToANodeOfAGraph) {
  const Node alone;
  EXPECT_NE(complaint(ErrorCode::internal, [&] { alone.out(); }).find("not part of a graph"),
            std::string::npos);
}

TEST(Value, IsReadFromSeveralThreads) {
  Graph graph;
  Value last = graph.input("x", kType);
  for (int i = 0; i < 100; ++i) last = op::relu(last);
  std::atomic<int> visited = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (Value at = last; at.node()->op == Op::relu; at = at.node()->inputs[0]) ++visited;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(visited, 400);
  EXPECT_EQ(last.dim(1), Dim(3));
}

}  // namespace
}  // namespace onnxport
