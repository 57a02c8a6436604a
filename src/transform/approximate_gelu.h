/// The cheaper gelu.
#pragma once

#include "onnxport/graph.h"

namespace onnxport::transform {

/// Every exact gelu becomes its approximation by tanh, which differs by less than 0.0005. (Optimum's
/// optimization level O3)
Graph approximate_gelu(Graph graph);

}  // namespace onnxport::transform
