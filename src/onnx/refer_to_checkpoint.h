/// A graph whose weights are the tensors of the checkpoint, as they are stored.
#pragma once

#include <cstdint>

#include "onnx/onnx_graph.h"

namespace onnxport {

/// Lets initializers be what the checkpoint stores, where they are casts or transposes of it: nodes at the
/// front of the graph make the rest, which runtimes do when they load the file. Others stay as they are: of
/// fewer than `smallest` bytes, computed from several tensors, or with a cast that the opset does not have.
void refer_to_checkpoint(OnnxGraph& graph, std::int64_t smallest);

}  // namespace onnxport
