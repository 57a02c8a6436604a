/// A smaller model for shape inference.
#pragma once

#include <onnx/onnx_pb.h>

namespace onnxport::serialize {

/// Inference copies the types of all initializers for every graph inside. So where thousands only make
/// stacks, as the weights of experts do, the stacks take their place: initializers without data.
void join_initializers(onnx::GraphProto& graph);

}  // namespace onnxport::serialize
