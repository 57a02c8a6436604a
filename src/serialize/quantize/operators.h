/// The quantized forms of operators.
#pragma once

#include <onnx/onnx_pb.h>

namespace onnxport::serialize {

class GraphQuantizer;

/// Adds the nodes that replace `node`, which may be changed, and returns true; or does nothing and returns
/// false if the node has no quantized form. The forms and all names are those of quantize_dynamic of the
/// onnxruntime 1.31.1 package.
bool quantize_node(GraphQuantizer& graph, onnx::NodeProto& node);

}  // namespace onnxport::serialize
