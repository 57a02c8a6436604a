/// Element types of tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "onnxport/export_macro.h"

namespace onnxport {

/// Element type of a tensor, with the names of PyTorch and safetensors.
enum class DType : std::uint8_t { f32, f16, bf16, f64, i64, i32, i16, i8, u8, u16, u32, u64, boolean };

/// Bytes of one element.
ONNXPORT_API std::size_t size_of(DType dtype);
/// "float32", "bfloat16", "int64", "bool", …
ONNXPORT_API std::string_view to_string(DType dtype);
/// "fp32", "bf16", "int64", …: the spelling of `--dtype` and of the suffixes of cast initializers.
ONNXPORT_API std::string_view short_name(DType dtype);
/// Accepts "fp32", "float32", "F32", "int64", "I64", …; throws ExportError(invalid_argument) for anything
/// else.
ONNXPORT_API DType parse_dtype(std::string_view text);

constexpr bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f64;
}
constexpr bool is_integer(DType dtype) { return !is_float(dtype) && dtype != DType::boolean; }

/// The lowest finite value of a dtype (`torch.finfo(dtype).min` / `torch.iinfo(dtype).min`).
ONNXPORT_API double lowest(DType dtype);
/// The largest finite value of a dtype.
ONNXPORT_API double highest(DType dtype);

}  // namespace onnxport
