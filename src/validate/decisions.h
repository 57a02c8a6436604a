/// Following a file in its decisions between values that are equal up to rounding.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/tensor.h"
#include "reference/interpreter.h"

namespace onnxport::validate {

/// Takes the places [outer, k, inner] that a file took instead of the ranking's own. Returns false, and
/// leaves the ranking alone, if they are not k different places of each lane, or if at any rank the score
/// differs from that of the own choice by more than atol * max(1, max|score|). Mask fills (1e6 or more) do
/// not count as magnitudes.
bool follow(const reference::Ranking& ranking, const std::vector<std::int64_t>& taken, double atol);
/// The same for a comparison: both sides of each pair on which the file decides otherwise must differ by at
/// most atol * max(1, max|difference|).
bool follow(const reference::Comparison& comparison, const std::vector<std::int64_t>& holds, double atol);

/// What a file decides: which elements are the largest, and which values are larger than others. Where values
/// differ by less than rounding, either decision is right, and everything behind depends on it: all boxes of
/// a detector whose queries have learned contents by rank, all masks of a decoder that attends to the inside
/// of earlier masks.
class Decisions {
 public:
  /// `file`: an .onnx file that ONNX Runtime can run.
  explicit Decisions(const std::filesystem::path& file);

  /// The outputs of the graph, if it decides like the file wherever it may. Nothing if that changes no
  /// decision. `given`: the same inputs as the file takes them.
  std::optional<NamedTensors> outputs(const Graph& graph, const NamedTensors& inputs,
                                      const NamedTensors& given, double atol) const;

 private:
  std::filesystem::path file_;
  std::vector<std::pair<Op, std::string>> names_;  // of the results, in the order of the nodes
};

}  // namespace onnxport::validate
