/// Spellings of dtypes that the public dtype.h does not need.
#pragma once

#include <array>
#include <string_view>

#include "onnxport/dtype.h"

namespace onnxport {

inline constexpr std::array kAllDTypes = {DType::f32, DType::f16, DType::bf16,   DType::f64, DType::i64,
                                          DType::i32, DType::i16, DType::i8,     DType::u8,  DType::u16,
                                          DType::u32, DType::u64, DType::boolean};

/// "F32", "BF16", "BOOL", …: the spelling of safetensors headers.
std::string_view safetensors_name(DType dtype);

}  // namespace onnxport
