// Ops for signals, and the layers of a long short-term memory, against values by hand and plain loops.
#include "onnxport/signal_ops.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/accounting.h"
#include "checkpoint/checkpoint.h"
#include "errors.h"
#include "onnxport/nn/lstm.h"
#include "onnxport/op.h"
#include "onnxport/recurrence.h"
#include "reference/interpreter.h"

namespace onnxport::test {
namespace {

using Reals = std::vector<double>;

struct Calculator {
  Graph graph{DType::f64};
  reference::Case inputs = {};

  Value in(const std::vector<std::int64_t>& shape, const Reals& reals) {
    const std::string name = "x" + std::to_string(inputs.size());
    inputs.emplace_back(name, Tensor::from_doubles(DType::f64, shape, reals));
    return graph.input(name, {DType::f64, Shape(shape.begin(), shape.end())});
  }
  // Values of which no two are alike, between -1 and 1.
  Value in(const std::vector<std::int64_t>& shape) {
    std::int64_t count = 1;
    for (const std::int64_t extent : shape) count *= extent;
    Reals reals;
    for (std::int64_t i = 0; i < count; ++i)
      reals.push_back(std::sin(1.5 + static_cast<double>(inputs.size()) + 1.7 * static_cast<double>(i)));
    return in(shape, reals);
  }
  Reals reals(Value value) {
    graph.output("y" + std::to_string(graph.outputs().size()), value);
    return reference::interpret(graph, {inputs})[0].back().reals;
  }
  const Tensor& tensor(Value value) const {
    for (const auto& [name, tensor] : inputs) {
      if (name == value.node()->name) return tensor;
    }
    throw std::out_of_range("no such input");
  }
};

TEST(PadWithOwnElements, ByHand) {
  Calculator c;
  const Value x = c.in({2, 3}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(c.reals(op::pad(x, {0, 2}, {0, 1}, op::PadMode::reflect)),
            (Reals{3, 2, 1, 2, 3, 2, 6, 5, 4, 5, 6, 5}));
  EXPECT_EQ(c.reals(op::pad(x, {1, 0}, {0, 2}, op::PadMode::edge)),
            (Reals{1, 2, 3, 3, 3, 1, 2, 3, 3, 3, 4, 5, 6, 6, 6}));
  const std::string message =
      complaint(ErrorCode::shape, [&] { c.reals(op::pad(x, {2, 0}, {0, 0}, op::PadMode::reflect)); });
  EXPECT_NE(message.find("2 and 0 elements around an axis of 2"), std::string::npos) << message;
}

TEST(ConvTranspose1d, ByHand) {
  Calculator c;
  const Value x = c.in({1, 1, 2}, {1, 2}), weight = c.in({1, 1, 3}, {1, 10, 100});
  EXPECT_EQ(c.reals(op::conv_transpose1d(x, weight)), (Reals{1, 12, 120, 200}));
  EXPECT_EQ(c.reals(op::conv_transpose1d(x, weight, c.in({1}, {0.5}), {.stride = {2}, .padding = {1, 0}})),
            (Reals{10.5, 102.5, 20.5, 200.5}));
}

// One cell and gate at a time.
struct PlainLstm {
  Reals output, hidden, cell;

  PlainLstm(const Tensor& x, const Tensor& w, const Tensor& u, const Reals& bias, Reals h, Reals c)
      : hidden(std::move(h)), cell(std::move(c)) {
    const std::int64_t batch = x.shape[0], length = x.shape[1], in = x.shape[2], width = u.shape[1];
    const auto at = [](const Tensor& tensor, std::int64_t i) {
      return tensor.to_doubles()[static_cast<std::size_t>(i)];
    };
    const auto index = [](std::int64_t i) { return static_cast<std::size_t>(i); };
    const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
    output.resize(index(batch * length * width));
    for (std::int64_t t = 0; t < length; ++t) {
      const Reals before = hidden;
      for (std::int64_t b = 0; b < batch; ++b) {
        for (std::int64_t k = 0; k < width; ++k) {
          Reals gate;
          for (std::int64_t g = 0; g < 4; ++g) {
            const std::int64_t row = g * width + k;
            double sum = bias[index(row)];
            for (std::int64_t i = 0; i < in; ++i)
              sum += at(w, row * in + i) * at(x, (b * length + t) * in + i);
            for (std::int64_t i = 0; i < width; ++i)
              sum += at(u, row * width + i) * before[index(b * width + i)];
            gate.push_back(sum);
          }
          double& kept = cell[index(b * width + k)];
          kept = sigmoid(gate[1]) * kept + sigmoid(gate[0]) * std::tanh(gate[2]);
          hidden[index(b * width + k)] = sigmoid(gate[3]) * std::tanh(kept);
          output[index((b * length + t) * width + k)] = hidden[index(b * width + k)];
        }
      }
    }
  }
};

void expect_near(const Reals& got, const Reals& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 1e-12) << "element " << i;
}

TEST(Lstm, IsAPlainLoop) {
  for (const bool past : {false, true}) {
    Calculator c;
    op::LstmOperands o;
    o.x = c.in({2, 5, 3});
    o.input_weight = c.in({16, 3});
    o.hidden_weight = c.in({16, 4});
    Reals bias(16), hidden(8), cell(8);
    if (past) {
      o.input_bias = c.in({16});
      o.hidden_bias = c.in({16});
      o.past_hidden = c.in({2, 4});
      o.past_cell = c.in({2, 4});
      bias = c.tensor(o.input_bias).to_doubles();
      for (std::size_t i = 0; i < bias.size(); ++i) bias[i] += c.tensor(o.hidden_bias).to_doubles()[i];
      hidden = c.tensor(o.past_hidden).to_doubles();
      cell = c.tensor(o.past_cell).to_doubles();
    }
    const op::Lstm made = op::lstm(o);
    const PlainLstm plain(c.tensor(o.x), c.tensor(o.input_weight), c.tensor(o.hidden_weight), bias, hidden,
                          cell);
    expect_near(c.reals(made.output), plain.output);
    expect_near(c.reals(made.hidden), plain.hidden);
    expect_near(c.reals(made.cell), plain.cell);
  }
}

TEST(Lstm, ContinuesWhereACallEnded) {
  Calculator c;
  op::LstmOperands o;
  o.x = c.in({2, 5, 3});
  o.input_weight = c.in({16, 3});
  o.hidden_weight = c.in({16, 4});
  const op::Lstm whole = op::lstm(o);
  op::LstmOperands part = o;
  part.x = op::slice(o.x, 1, 0, 2);
  const op::Lstm first = op::lstm(part);
  part.x = op::slice(o.x, 1, 2, 5);
  part.past_hidden = first.hidden;
  part.past_cell = first.cell;
  const op::Lstm second = op::lstm(part);
  const Reals joined = c.reals(op::concat({first.output, second.output}, 1));
  expect_near(joined, c.reals(whole.output));
  expect_near(c.reals(second.cell), c.reals(whole.cell));
}

TEST(Lstm, RefusesWhatDoesNotFit) {
  Calculator c;
  op::LstmOperands o;
  o.x = c.in({2, 5, 3});
  o.input_weight = c.in({16, 3});
  o.hidden_weight = c.in({12, 4});
  const auto refused = [&] {
    const std::string message = complaint(ErrorCode::shape, [&] { op::lstm(o); });
    EXPECT_NE(message.find("do not fit together"), std::string::npos) << message;
  };
  refused();
  o.hidden_weight = c.in({16, 4});
  o.input_bias = c.in({16});
  refused();  // only one of two
  o.hidden_bias = c.in({4});
  refused();
  o.hidden_bias = c.in({16});
  o.past_hidden = o.past_cell = c.in({1, 4});
  refused();
}

// Two layers: the states of all, one after the other.
TEST(Lstm, LayersFollowEachOther) {
  Calculator c;
  constexpr std::int64_t kIn = 3, kWidth = 4;
  std::vector<StoredTensor> stored;
  std::vector<Value> values;
  for (const std::string layer : {"_l0", "_l1"}) {
    const std::vector<std::int64_t> input = {4 * kWidth, layer == "_l0" ? kIn : kWidth};
    const std::vector<std::int64_t> hidden = {4 * kWidth, kWidth}, bias = {4 * kWidth};
    for (const auto& [name, shape] :
         {std::pair("weight_ih", input), {"weight_hh", hidden}, {"bias_ih", bias}, {"bias_hh", bias}}) {
      const std::string key = "lstm." + std::string(name) + layer;
      values.push_back(c.in(shape));
      stored.push_back({{.key = key, .dtype = DType::f64, .shape = shape},
                        Weight::from_doubles(DType::f64, shape, c.tensor(values.back()).to_doubles(), key)});
    }
  }
  const auto checkpoint = std::make_shared<const Checkpoint>(std::move(stored), "test");
  const Scope s(checkpoint, std::make_shared<KeyAccounting>(), "lstm");
  const nn::Lstm layers(s, kIn, kWidth, 2);
  const Value x = c.in({2, 5, kIn}), hidden = c.in({2, 2, kWidth}), cell = c.in({2, 2, kWidth});
  const nn::LstmStates made = layers(x, hidden, cell);

  op::LstmOperands o{.x = x, .input_weight = values[0], .hidden_weight = values[1]};
  o.input_bias = values[2];
  o.hidden_bias = values[3];
  o.past_hidden = op::select(hidden, 0, 0);
  o.past_cell = op::select(cell, 0, 0);
  const op::Lstm first = op::lstm(o);
  op::LstmOperands next{.x = first.output, .input_weight = values[4], .hidden_weight = values[5]};
  next.input_bias = values[6];
  next.hidden_bias = values[7];
  next.past_hidden = op::select(hidden, 0, 1);
  next.past_cell = op::select(cell, 0, 1);
  const op::Lstm second = op::lstm(next);
  expect_near(c.reals(made.output), c.reals(second.output));
  const Value last = op::concat({op::unsqueeze(first.hidden, 0), op::unsqueeze(second.hidden, 0)}, 0);
  expect_near(c.reals(made.hidden), c.reals(last));
  const Value cells = op::concat({op::unsqueeze(first.cell, 0), op::unsqueeze(second.cell, 0)}, 0);
  expect_near(c.reals(made.cell), c.reals(cells));
}

}  // namespace
}  // namespace onnxport::test
