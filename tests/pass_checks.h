/// What tests of single passes share: values that differ from element to element, and the comparison of a
/// graph with what a pass makes of it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "onnxport/op.h"
#include "reference/interpreter.h"

namespace onnxport::test {

inline std::size_t count(const Graph& graph, Op op) {
  return static_cast<std::size_t>(std::count_if(graph.nodes().begin(), graph.nodes().end(),
                                                [&](const Node& node) { return node.op == op; }));
}

inline std::vector<double> waves(const std::vector<std::int64_t>& shape, double phase) {
  std::int64_t size = 1;
  for (const std::int64_t extent : shape) size *= extent;
  std::vector<double> values(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(phase + 0.7 * static_cast<double>(i));
  return values;
}

inline Weight wave(std::vector<std::int64_t> shape, double phase, std::string name = {}) {
  const std::vector<double> values = waves(shape, phase);
  return Weight::from_doubles(DType::f32, std::move(shape), values, std::move(name));
}

/// The outputs of both graphs, whose inputs are floats, are equal but for the rounding of folded weights.
inline void expect_same_values(const Graph& before, const Graph& after, const DimBindings& sizes = {}) {
  verify(after);
  reference::Case inputs;
  for (const auto& [name, value] : before.inputs()) {
    std::vector<std::int64_t> shape;
    for (const Dim& dim : value.shape()) shape.push_back(dim.evaluate(sizes));
    const std::vector<double> values = waves(shape, static_cast<double>(inputs.size()));
    inputs.emplace_back(name, Tensor::from_doubles(value.dtype(), shape, values));
  }
  const auto expected = reference::interpret(before, {inputs})[0];
  const auto got = reference::interpret(after, {inputs})[0];
  ASSERT_EQ(expected.size(), got.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(expected[i].shape, got[i].shape);
    ASSERT_EQ(before.outputs()[i].second.type(), after.outputs()[i].second.type());
    for (std::size_t j = 0; j < expected[i].reals.size(); ++j)
      ASSERT_NEAR(expected[i].reals[j], got[i].reals[j], 1e-5) << "output " << i << ", element " << j;
  }
}

}  // namespace onnxport::test
