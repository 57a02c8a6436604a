/// Makes a graph refer to the tensors of the checkpoint as they are stored.
#pragma once

#include <cstdint>

#include "onnx/onnx_graph.h"

namespace onnxport {

/// Replaces initializers that are casts or transposes of stored tensors by these tensors. Nodes at the start
/// of the graph convert them; runtimes run these nodes when they load the file. Other initializers stay
/// unchanged: those of fewer than `smallest` bytes, computed from several tensors, or with a cast that the
/// opset does not have.
void refer_to_checkpoint(OnnxGraph& graph, std::int64_t smallest);

}  // namespace onnxport
