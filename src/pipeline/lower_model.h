/// From a model's graph to the ONNX graph that is written.
#pragma once

#include "lower/onnx_graph.h"
#include "onnxport/graph.h"

namespace onnxport::pipeline {

/// Simplifies, legalizes for the opset, and lowers.
lower::OnnxGraph lower_graph(Graph graph, int opset);

}  // namespace onnxport::pipeline
