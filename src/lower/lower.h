/// Lowering: semantic ops to ONNX nodes of one opset.
#pragma once

#include "lower/onnx_graph.h"
#include "onnxport/graph.h"

namespace onnxport::lower {

/// Oldest opset that is lowered to.
inline constexpr int oldest_opset = 11;

/// What the nodes are made for.
struct Target {
  int opset = 18;
};

/// Has the target one ONNX form of this op? Composites that have none are decomposed before lowering
/// (pass/passes.h).
bool has_native_form(const Node& node, const Target& target);

/// Lowers a legalized graph (every composite in it has a native form). Values of the result are named after
/// the module path and the ONNX op, initializers after their weights. Throws ExportError(unsupported) for an
/// opset or a dtype that the target cannot express.
OnnxGraph lower(const Graph& graph, const Target& target);

}  // namespace onnxport::lower
