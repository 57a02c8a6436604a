/// Element types with ONNX's numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "onnxport/dtype.h"

namespace onnxport {

/// Types of less than a byte, which no DType stands for, with their numbers in TensorProto.DataType. The
/// first of the elements in a byte has the low bits.
enum class PackedElement : std::int32_t { uint4 = 21, int4 = 22, uint2 = 25, int2 = 26 };

/// TensorProto.DataType of a dtype.
std::int32_t element_type(DType dtype);
std::int32_t element_type(PackedElement type);
/// The first IR version that has the type.
int ir_version_of(PackedElement type);
/// "float32", "int4", "string", …; "type 99" for a number that ONNX does not define.
std::string element_type_name(std::int32_t type);
/// Bits of one element; 0 if it has no fixed width (string, unknown numbers).
std::size_t element_type_bits(std::int32_t type);

}  // namespace onnxport
