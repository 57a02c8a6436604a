/// The content of an .onnx file, with gaps for its weights.
#pragma once

#include "onnx/onnx_graph.h"
#include "serialize/data_files.h"
#include "serialize/layout.h"

namespace onnxport::serialize {

/// The whole ModelProto. `data`: takes the large tensors; null: all tensors stay inside.
Layout model_layout(const OnnxGraph& graph, DataFiles* data);

}  // namespace onnxport::serialize
