/// A smaller model for shape inference.
#pragma once

#include <onnx/onnx_pb.h>

namespace onnxport::serialize {

/// Where thousands of initializers only make stacks, as the weights of experts do, the stacks take their
/// place: initializers without data. Inference then has fewer types to keep.
void join_initializers(onnx::GraphProto& graph);

}  // namespace onnxport::serialize
