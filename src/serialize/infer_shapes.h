/// Strict shape inference whose cost does not grow with the product of values and inner graphs.
#pragma once

#include <onnx/onnx_pb.h>

#include <cstddef>

namespace onnxport::serialize {

/// onnx::shape_inference::InferShapes with type checks, strict mode and data propagation. Throws
/// onnx::InferenceError.
///
/// For each inner graph, onnx copies the types of all values outside of it. Here it gets only those whose
/// names occur in the graph, which are all that it can look up. Returns how many were copied.
std::size_t infer_shapes(onnx::ModelProto& model);

}  // namespace onnxport::serialize
