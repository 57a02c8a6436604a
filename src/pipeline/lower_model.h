/// Turns a model's graph into the ONNX graph that is written.
#pragma once

#include "lower/target.h"
#include "onnx/onnx_graph.h"
#include "onnxport/graph.h"

namespace onnxport::pipeline {

/// Runs the passes that change weights or leave out parts of results, which must come before weights become
/// codes.
Graph fold_for_codes(Graph graph);

/// Runs the passes of the target, and lowers.
OnnxGraph lower_graph(Graph graph, const lower::Target& target);

}  // namespace onnxport::pipeline
