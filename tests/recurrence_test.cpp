// Recurrences: the ops against plain loops by hand, many tokens against one after the other, and what they
// refuse.
#include "onnxport/recurrence.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "errors.h"
#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

using Reals = std::vector<double>;

// A graph whose inputs have values.
class Calculator {
 public:
  Value in(Shape shape, const Reals& reals) {
    const std::string name = fmt::format("x{}", inputs_.size());
    inputs_.emplace_back(name, Tensor::from_doubles(DType::f64, *static_shape(shape), reals));
    return graph_.input(name, {DType::f64, std::move(shape)});
  }
  // Values of which no two are alike, between -1 and 1.
  Value in(const Shape& shape) {
    const std::vector<std::int64_t> extents = static_shape(shape).value();
    std::int64_t count = 1;
    for (const std::int64_t extent : extents) count *= extent;
    Reals reals;
    for (std::int64_t i = 0; i < count; ++i)
      reals.push_back(std::sin(static_cast<double>(inputs_.size()) + 1.7 * static_cast<double>(i)));
    return in(shape, reals);
  }
  Graph& graph() { return graph_; }
  std::vector<Reals> run(const std::vector<Value>& results) {
    for (const Value& one : results) graph_.output(fmt::format("y{}", count_++), one);
    std::vector<Reals> reals;
    const auto made = reference::interpret(graph_, {inputs_});
    for (const reference::HostTensor& one : made[0]) reals.push_back(one.reals);
    return reals;
  }

 private:
  Graph graph_{DType::f64};
  reference::Case inputs_;
  int count_ = 0;
};

void expect_near(const Reals& got, const Reals& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-12) << "element " << i;
}

TEST(CausalConv, ContinuesFromItsState) {
  Calculator c;
  const Value x = c.in({1, 2, 3}, {1, 2, 3, 10, 20, 30}), weight = c.in({2, 1, 2}, {1, 4, 0, 2});
  const Value bias = c.in({2}, {0.5, 0});
  const op::Recurrence fresh = op::causal_conv(x, weight, bias, {}, 2);
  const Value past = c.in({1, 2, 2}, {7, 5, 1, 1});
  const op::Recurrence later = op::causal_conv(op::slice(x, 2, 0, 1), weight, bias, past, 2);
  const auto got = c.run({fresh.output, fresh.state, later.output, later.state});
  expect_near(got[0], {4.5, 9.5, 14.5, 20, 40, 60});
  expect_near(got[1], {2, 3, 20, 30});
  expect_near(got[2], {5 + 4 + 0.5, 20});
  expect_near(got[3], {5, 1, 1, 10});
}

TEST(SelectiveScan, OfOneHeadByHand) {
  Calculator c;
  // Two channels, two elements of state, two tokens.
  op::SelectiveScanOperands o;
  o.x = c.in({1, 2, 2}, {1, 2, 3, 4});
  o.time_step = c.in({1, 2, 1}, {0.5, 1});
  o.decay = c.in({1, 2}, {-1, -2});
  o.input = c.in({1, 2, 2}, {1, 3, 2, 1});
  o.output = c.in({1, 2, 2}, {1, 1, 1, -1});
  o.past = c.in({1, 1, 2, 2}, {1, 1, 0, 2});
  const op::Recurrence made = op::selective_scan(o, 1);
  const auto got = c.run({made.output, made.state});
  const double a = std::exp(-0.5), b = std::exp(-1.0);  // the second element decays twice as fast
  const Reals first = {a + 0.5, b + 1.5, 1, 2 * b + 3};
  const double d = std::exp(-1.0), e = std::exp(-2.0);
  const Reals second = {d * first[0] + 6, e * first[1] + 3, d * first[2] + 8, e * first[3] + 4};
  expect_near(got[0],
              {first[0] + first[1], first[2] + first[3], second[0] - second[1], second[2] - second[3]});
  expect_near(got[1], second);
}

TEST(LinearAttention, OfOneHeadByHand) {
  for (const bool delta : {false, true}) {
    Calculator c;
    op::LinearAttentionOperands o;
    o.query = c.in({1, 2, 2}, {1, 2, 0, 1});
    o.key = c.in({1, 2, 2}, {1, 0, 0.5, 0.5});
    o.value = c.in({1, 2, 1}, {3, 5});
    o.decay = c.in({1, 2, 1}, {0, std::log(0.5)});
    if (delta) o.beta = c.in({1, 2, 1}, {1, 0.5});
    o.past = c.in({1, 1, 2, 1}, {1, 2});
    const op::Recurrence made = op::linear_attention(o, 1, 1);
    const auto got = c.run({made.output, made.state});
    // First token: the key is the first unit vector.
    const double first = delta ? 3 : 1 + 3;
    const double x = first / 2, y = 1;  // half of the state remains
    const double added = delta ? 0.5 * (5 - (x + y) / 2) : 5;
    expect_near(got[1], {x + added / 2, y + added / 2});
    expect_near(got[0], {first + 4, y + added / 2});
  }
}

TEST(LinearRecurrence, ByHand) {
  Calculator c;
  const Value x = c.in({1, 2, 2}, {1, 2, 3, 4}), remains = c.in({1, 2, 2}, {0.5, 0, 1, 2});
  const op::Recurrence made = op::linear_recurrence(x, remains, c.in({1, 2}, {8, 9}));
  const auto got = c.run({made.output, made.state});
  expect_near(got[0], {5, 2, 8, 8});
  expect_near(got[1], {8, 8});
}

TEST(Wkv, IsAWeightedMean) {
  Calculator c;
  const Reals keys = {1, -2, 3}, values = {5, 7, 11};
  const Value key = c.in({1, 3, 1}, keys), value = c.in({1, 3, 1}, values);
  const op::Wkv made = op::wkv(key, value, c.in({1}, {-0.5}), c.in({1}, {0.25}), {});
  const auto got = c.run({made.output, made.state.numerator, made.state.denominator, made.state.maximum});
  for (std::size_t t = 0; t < 3; ++t) {
    double above = std::exp(0.25 + keys[t]) * values[t], below = std::exp(0.25 + keys[t]);
    for (std::size_t i = 0; i < t; ++i) {
      const double weight = std::exp(keys[i] - 0.5 * static_cast<double>(t - i - 1));
      above += weight * values[i];
      below += weight;
    }
    EXPECT_NEAR(got[0][t], above / below, 1e-12);
  }
  const double scale = std::exp(got[3][0]);
  EXPECT_NEAR(got[2][0] * scale, std::exp(0.0) + std::exp(-2.5) + std::exp(3.0), 1e-9);
  EXPECT_NEAR(got[1][0] * scale, 5 * std::exp(0.0) + 7 * std::exp(-2.5) + 11 * std::exp(3.0), 1e-9);
}

// One call with three tokens gives the same as three calls with one token each.
TEST(Recurrences, ContinueWhereACallEnded) {
  constexpr std::int64_t kTokens = 3;
  Calculator c;
  const Value x = c.in({2, kTokens, 12}), step = op::sigmoid(c.in({2, kTokens, 4}));
  const Value decay = op::neg(op::sigmoid(c.in({4, 5}))), key = c.in({2, kTokens, 10});
  const Value query = c.in({2, kTokens, 10}), left = op::neg(step);
  const auto scan = [&](std::int64_t from, std::int64_t to, Value past) {
    op::SelectiveScanOperands o;
    o.x = op::slice(x, 1, from, to);
    o.time_step = op::slice(step, 1, from, to);
    o.decay = decay;
    o.input = op::slice(key, 1, from, to);
    o.output = op::slice(query, 1, from, to);
    o.past = past;
    return op::selective_scan(o, 2);
  };
  const auto attend = [&](std::int64_t from, std::int64_t to, Value past) {
    op::LinearAttentionOperands o;
    o.query = op::slice(query, 1, from, to);
    o.key = op::slice(key, 1, from, to);
    o.value = op::slice(x, 1, from, to);
    o.decay = op::slice(left, 1, from, to);
    o.beta = op::slice(step, 1, from, to);
    o.past = past;
    return op::linear_attention(o, 4, 2);
  };
  const auto sum = [&](std::int64_t from, std::int64_t to, Value past) {
    return op::linear_recurrence(op::slice(x, 1, from, to), op::slice(x, 1, from, to), past);
  };
  using Call = std::function<op::Recurrence(std::int64_t, std::int64_t, Value)>;
  std::vector<Value> results;
  for (const Call& call : {Call(scan), Call(attend), Call(sum)}) {
    const op::Recurrence whole = call(0, kTokens, {});
    Value state;
    std::vector<Value> outputs;
    for (std::int64_t t = 0; t < kTokens; ++t) {
      const op::Recurrence one = call(t, t + 1, state);
      outputs.push_back(one.output);
      state = one.state;
    }
    for (const Value& result : {whole.output, op::concat(outputs, 1), whole.state, state})
      results.push_back(result);
  }
  const auto got = c.run(results);
  for (std::size_t i = 0; i < got.size(); i += 2) expect_near(got[i + 1], got[i]);
}

TEST(Recurrences, RefuseWhatDoesNotFit) {
  Graph graph;
  int count = 0;
  const auto value = [&](Shape shape, DType dtype = DType::f32) {
    return graph.input(fmt::format("x{}", count++), {dtype, std::move(shape)});
  };
  const auto refused = [&](const std::function<void()>& action, const std::string& part) {
    const std::string message = complaint(ErrorCode::shape, action);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  const Dim B = Dim::symbol("B"), L = Dim::symbol("L");
  const Value x = value({B, 4, L}), weight = value({4, 1, 3});
  refused([&] { op::causal_conv(x, weight, {}, {}, 4); }, "keeps 4 inputs, expected 1 to 3");
  refused([&] { op::causal_conv(x, weight, {}, value({B, 4, 1}), 3); }, "do not fit together");
  refused([&] { op::causal_conv(x, value({4, 2, 3}), {}, {}, 3); }, "do not fit together");
  const Value tokens = value({B, L, 4}), half = value({B, L, 4}, DType::f16);
  refused([&] { op::linear_recurrence(half, half, {}); }, "expected float32");
  refused([&] { op::linear_recurrence(tokens, half, {}); }, "different dtype");
  refused([&] { op::linear_recurrence(tokens, tokens, value({B, 5})); }, "do not fit together");
  const Value per_head = value({B, L, 2}), shared = value({B, L, 3});
  op::SelectiveScanOperands scan;
  scan.x = tokens;
  scan.time_step = per_head;
  scan.decay = value({2});
  scan.input = scan.output = shared;
  EXPECT_NO_THROW(op::selective_scan(scan, 1));
  refused([&] { op::selective_scan(scan, 2); }, "do not fit together");
  scan.decay = value({2, 4});
  refused([&] { op::selective_scan(scan, 1); }, "do not fit together");
  op::LinearAttentionOperands attention;
  attention.query = attention.key = shared;
  attention.value = tokens;
  attention.decay = per_head;
  EXPECT_NO_THROW(op::linear_attention(attention, 2, 1));
  refused([&] { op::linear_attention(attention, 2, 3); }, "do not fit together");
  attention.past = value({B, 2, 2, 3});
  refused([&] { op::linear_attention(attention, 2, 1); }, "do not fit together");
  op::WkvState state;
  state.numerator = value({B, 4});
  refused([&] { op::wkv(tokens, tokens, value({4}), value({4}), state); }, "do not fit together");
}

}  // namespace
}  // namespace onnxport::test
