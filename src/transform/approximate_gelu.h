/// Replaces gelu by a cheaper function.
#pragma once

#include "onnxport/graph.h"

namespace onnxport::transform {

/// Replaces every exact gelu by its tanh approximation, which differs by less than 0.0005. (Optimum's
/// optimization level O3)
Graph approximate_gelu(Graph graph);

}  // namespace onnxport::transform
