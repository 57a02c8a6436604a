/// Lookups in tables of positions, which bound the lengths that validation may use.
#pragma once

#include "onnxport/graph.h"
#include "onnxport/tensor.h"

namespace onnxport::validate {

/// Whether every lookup in a table finds its row for these inputs, as far as that is known without computing
/// the graph: from the values of integer inputs, from lengths, and from counts of them.
bool finds_all_rows(const Graph& graph, const NamedTensors& inputs);

}  // namespace onnxport::validate
