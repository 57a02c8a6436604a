/// Lowering: semantic ops to ONNX nodes of one target.
#pragma once

#include "lower/target.h"
#include "onnx/onnx_graph.h"
#include "onnxport/graph.h"

namespace onnxport::lower {

/// Lowers a legalized graph (pass/passes.h), in which every node has a form that fits. In the result, values
/// are named after the module path and the ONNX op, and initializers after their weights. Throws
/// ExportError(unsupported) for an opset or a dtype that the target does not support.
OnnxGraph lower(const Graph& graph, const Target& target);

}  // namespace onnxport::lower
