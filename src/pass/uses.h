/// How often values are used.
#pragma once

#include <cstdint>
#include <vector>

#include "onnxport/graph.h"

namespace onnxport::pass {

/// For each node, by id: how many operands and outputs of the graph its results are.
inline std::vector<int> count_uses(const Graph& graph) {
  std::vector<int> uses(graph.nodes().size());
  for (const Node& node : graph.nodes()) {
    for (const Value& input : node.inputs) {
      if (input) ++uses[input.node()->id];
    }
  }
  for (const auto& [name, value] : graph.outputs()) ++uses[value.node()->id];
  return uses;
}

}  // namespace onnxport::pass
