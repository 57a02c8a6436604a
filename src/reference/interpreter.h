/// The reference interpreter: runs a graph of semantic ops in double precision.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/tensor.h"

namespace onnxport::reference {

/// A tensor of the interpreter. Floats are doubles, integers and booleans are int64; `dtype` is the dtype in
/// the graph. It determines the range (overflow to ±inf) and the results of discontinuous ops.
struct HostTensor {
  DType dtype = DType::f32;
  std::vector<std::int64_t> shape;
  std::vector<double> reals;           ///< when is_float(dtype)
  std::vector<std::int64_t> integers;  ///< otherwise (bool: 0 or 1)
  std::int64_t numel() const;
};

HostTensor to_host(const Tensor& tensor);
/// Rounds to the declared dtype.
Tensor to_tensor(const HostTensor& tensor);

/// Inputs of one run, by name.
using Case = std::vector<std::pair<std::string, Tensor>>;

/// One call of topk or argmax: what it ranks, and the places that it took along the axis, [outer, k, inner].
struct Ranking {
  Op op;
  const HostTensor& scores;
  std::size_t axis;
  std::vector<std::int64_t>& taken;
};

/// One call of eq, lt, le, gt or ge.
struct Comparison {
  Op op;
  const HostTensor& margins;         ///< left - right; only the shape, if they are integers
  std::vector<std::int64_t>& holds;  ///< 0 or 1
};

/// Called for each decision, if set, and may change it.
struct OnDecision {
  std::function<void(const Ranking&)> ranking = {};
  std::function<void(const Comparison&)> comparison = {};
};

/// Runs the graph on several cases in one walk over the nodes. Each weight is loaded once and freed after its
/// last use, so memory is bounded by activations and the largest weight. Returns the outputs of each case in
/// the graph's order. Throws ExportError(invalid_argument) if an input is missing or does not fit its
/// declared shape, and ExportError(shape) if a symbol has two values. `on_node` (optional) is called before
/// each node, for progress.
std::vector<std::vector<HostTensor>> interpret(
    const Graph& graph, const std::vector<Case>& cases,
    const std::function<void(std::size_t done, std::size_t total)>& on_node = {},
    const OnDecision& on_decision = {});

}  // namespace onnxport::reference
