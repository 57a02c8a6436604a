/// The op of graphs whose activations become 8-bit integers when they run. No definition uses it: a transform
/// puts it before linear, matmul and conv.
#pragma once

#include "onnxport/graph.h"

namespace onnxport::op {

/// A float32 tensor, rounded to 256 evenly spaced values between its smallest and its largest one, or 0. The
/// result has the type of `x`. With weights of 8-bit codes (ir/weight_coded.h), or with another such tensor,
/// a product becomes one of integers. (ONNX: DynamicQuantizeLinear)
Value dynamic_quantize(Value x);

}  // namespace onnxport::op
