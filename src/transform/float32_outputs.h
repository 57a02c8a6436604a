/// Results in float32 of a graph in half precision.
#pragma once

#include <set>
#include <string>

#include "onnxport/graph.h"

namespace onnxport::transform {

/// Casts float outputs to float32, except those with these names.
Graph float32_outputs(Graph graph, const std::set<std::string>& except);

}  // namespace onnxport::transform
