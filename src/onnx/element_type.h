/// Element types with ONNX's numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "onnxport/dtype.h"

namespace onnxport {

/// TensorProto.DataType of a dtype.
std::int32_t element_type(DType dtype);
/// "float32", "int4", "string", …; "type 99" for a number that ONNX does not define.
std::string element_type_name(std::int32_t type);
/// Bits of one element; 0 if it has no fixed width (string, unknown numbers).
std::size_t element_type_bits(std::int32_t type);

}  // namespace onnxport
