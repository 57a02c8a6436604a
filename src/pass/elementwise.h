/// Ops that work on each element separately.
#pragma once

#include "onnxport/graph.h"
#include "onnxport/ops.h"

namespace onnxport::pass {

/// Ops from numbers (or booleans) to the same kind, element by element. Not where() and comparisons, whose
/// operands and results have different dtypes.
inline bool is_elementwise(Op op) {
  switch (op) {
#define ONNXPORT_UNARY(name) case Op::name:
#define ONNXPORT_BINARY(name) case Op::name:
#include "onnxport/ops.def"
    case Op::clamp:
    case Op::gelu:
    case Op::quick_gelu:
    case Op::silu:
    case Op::mish:
    case Op::cast:
      return true;
    default:
      return false;
  }
}

}  // namespace onnxport::pass
