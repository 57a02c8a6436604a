/// Ops of graphs with quantized weights. No definition uses them: a transform puts them before layers.
#pragma once

#include "onnxport/graph.h"

namespace onnxport::op {

/// A float32 tensor, rounded to 256 evenly spaced values between its smallest and its largest one, or 0. The
/// result has the type of `x`. With weights of 8-bit codes (ir/weight_coded.h), or with another such tensor,
/// a product becomes one of integers. (ONNX: DynamicQuantizeLinear)
Value dynamic_quantize(Value x);

/// Elements of the last axis: x [..., K], indices int [n] -> [..., n]. (torch.index_select)
Value index_select(Value x, Value indices);

}  // namespace onnxport::op
