/// A graph before and after a recipe, and the comparison of its file with both.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "lower/lower.h"
#include "onnxport/op.h"
#include "onnxport/validate.h"
#include "pass/rebuild.h"
#include "pass_checks.h"
#include "pipeline/lower_model.h"
#include "reference/interpreter.h"
#include "runtime/session.h"
#include "serialize/writer.h"
#include "support/temp_folder.h"
#include "transform/quantize.h"

namespace onnxport::test {

inline const Dim B = Dim::symbol("B");

using Blocks = BlockRecipe;

/// A graph before and after a recipe.
class Quantized {
 public:
  Quantized(const std::function<void(Graph&)>& build, const Recipe& recipe, DType dtype = DType::f32)
      : original_(dtype) {
    build(original_);
    check_recipe(recipe, dtype, "a recipe");
    graph_ = transform::quantize(pass::copy(original_), recipe, summary_);
    verify(graph_);
    if (const auto* blocks = std::get_if<Blocks>(&recipe.scheme)) {
      target_.accuracy_level = blocks->accuracy_level;
      target_.standard_quantization = blocks->standard_ops;
    }
  }

  lower::Target& target() { return target_; }
  const transform::QuantizeSummary& summary() const { return summary_; }
  OnnxGraph lowered() const { return pipeline::lower_graph(pass::copy(graph_), target_); }

  /// Compares the file with the graph, and the graph with the original, relative to the
  /// largest value. `rounded`: the two graphs must differ.
  void check(double atol, double drift, bool rounded = true) const {
    const OnnxGraph lowered = this->lowered();
    const TempFolder folder;
    const std::filesystem::path file = folder.path() / "model.onnx";
    serialize::write_model(lowered, file);
    const runtime::Session session(file, {.intra_op_threads = 1});
    for (const std::int64_t batch : {1, 3}) {
      const reference::Case inputs = case_of(batch);
      const auto expected = reference::interpret(graph_, {inputs})[0];
      const auto original = reference::interpret(original_, {inputs})[0];
      NamedTensors given(inputs.begin(), inputs.end());
      const NamedTensors got = session.run(given);
      ASSERT_EQ(got.size(), expected.size());
      for (std::size_t i = 0; i < got.size(); ++i) {
        const Tensor reference = reference::to_tensor(expected[i]);
        const OutputComparison one = compare_outputs(got[i].first, got[i].second, reference, atol);
        EXPECT_TRUE(one.passed) << one.name << ": " << one.max_difference << " > " << one.tolerance;
        const OutputComparison far =
            compare_outputs(got[i].first, got[i].second, reference::to_tensor(original[i]), drift);
        EXPECT_TRUE(far.passed) << one.name << " drifts: " << far.max_difference << " > " << far.tolerance;
        if (rounded) EXPECT_GT(far.max_difference, 0) << one.name << " is not quantized";
      }
    }
  }

 private:
  reference::Case case_of(std::int64_t batch) const {
    reference::Case inputs;
    for (const auto& [name, value] : original_.inputs()) {
      std::vector<std::int64_t> shape;
      for (const Dim& dim : value.shape()) shape.push_back(dim.evaluate({{"B", batch}}));
      if (is_float(value.dtype())) {
        inputs.emplace_back(name, Tensor::from_doubles(value.dtype(), shape, waves(shape, 0.3)));
        continue;
      }
      Tensor ids(DType::i64, shape);
      std::vector<std::int64_t> values;
      for (std::int64_t i = 0; i < ids.numel(); ++i) values.push_back(i * 7 % 40);
      inputs.emplace_back(name, Tensor::from_ints(DType::i64, shape, values));
    }
    return inputs;
  }

  Graph original_, graph_;
  transform::QuantizeSummary summary_;
  lower::Target target_{.opset = 21};
};

inline std::vector<std::string> ops_of(const OnnxGraph& graph) {
  std::vector<std::string> ops;
  for (const OnnxNode& node : graph.nodes) ops.push_back(node.op_type);
  return ops;
}

inline std::size_t count_of(const std::vector<std::string>& ops, const std::string& op) {
  return static_cast<std::size_t>(std::count(ops.begin(), ops.end(), op));
}

/// 48 outputs from 80 inputs: the last block of 32 is half full.
inline void build_linear(Graph& graph) {
  const Value x = graph.input("x", {graph.float_dtype(), {B, 3, 80}});
  const ModulePath at(graph, "layer");
  const Value bias = graph.weight(wave({48}, 2, "layer.bias"));
  graph.output("y", op::linear(x, graph.weight(wave({48, 80}, 1, "layer.weight")), bias));
}

}  // namespace onnxport::test
