/// Following a file in its choice among equal scores.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/tensor.h"
#include "reference/interpreter.h"

namespace onnxport::validate {

/// Takes the places [outer, k, inner] that a file took instead of the ranking's own. Returns false, and leaves
/// the ranking alone, if they are not k different places of each lane, or if at any rank the score differs
/// from that of the own choice by more than atol * max(1, max|score|).
bool follow(const reference::Ranking& ranking, const std::vector<std::int64_t>& taken, double atol);

/// What the TopK nodes of a file take. Scores that differ by less than rounding have either order, and either
/// may be the last that is taken. Everything behind depends on that choice: in a detector whose queries have
/// learned contents by rank, all boxes.
class Choices {
 public:
  /// `file`: an .onnx file that ONNX Runtime can run.
  explicit Choices(std::filesystem::path file);

  /// The outputs of the graph, where each topk takes what the file takes. Nothing if the file has no such
  /// nodes, or not those of the graph, or if one of its choices is wrong. `given`: the same inputs as the file
  /// takes them.
  std::optional<NamedTensors> outputs(const Graph& graph, const NamedTensors& inputs,
                                      const NamedTensors& given, double atol) const;

 private:
  std::filesystem::path file_;
  std::vector<std::string> names_;  // of the places, in the order of the nodes
};

}  // namespace onnxport::validate
