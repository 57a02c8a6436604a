/// Convolutions in any dtype.
#pragma once

#include <string>

#include "lower/emitter.h"

namespace onnxport::lower {

/// Emits Conv, ConvTranspose or MaxPool, whose operands may be bfloat16 only from opset 22 on: before, they
/// are cast to float32, and the result back.
std::string emit_widened(Emitter& e, const char* op_type, Names inputs, DType dtype, OnnxAttrs attrs);

}  // namespace onnxport::lower
