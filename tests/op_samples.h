/// One or more graphs for every op of the table, for the tests that walk it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "onnxport/graph.h"

namespace onnxport::test {

/// A graph around one op. `build` makes inputs with the symbols N and M, applies the op and sets the output.
struct OpSample {
  Op op;
  std::string name;
  DType dtype;  ///< of the operands that the sample is about
  std::function<void(Graph&)> build;
};

/// Samples of every op but the leaves. An op without a sample is found by comparing with `all_ops()`.
std::vector<OpSample> op_samples();

/// `samples` and those of the ops that only quantized graphs have.
std::vector<OpSample> with_quantized_samples(std::vector<OpSample> samples);

/// `samples` and those of pooling.
std::vector<OpSample> with_pooling_samples(std::vector<OpSample> samples);
/// `samples` and those of the recurrences.
std::vector<OpSample> with_recurrent_samples(std::vector<OpSample> samples);

/// `samples` and those of the ops for signals.
std::vector<OpSample> with_signal_samples(std::vector<OpSample> samples);

/// `samples` and those of experts with biases and of attention with sinks.
std::vector<OpSample> with_expert_samples(std::vector<OpSample> samples);
/// `samples` and those of what the options of an interface need.
std::vector<OpSample> with_interface_samples(std::vector<OpSample> samples);

/// `samples` and those of places in images.
std::vector<OpSample> with_image_samples(std::vector<OpSample> samples);

/// Every op of ops.def but the leaves.
std::vector<Op> all_ops();

}  // namespace onnxport::test
