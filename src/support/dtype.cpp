#include "onnxport/dtype.h"

#include <fmt/format.h>

#include <limits>

#include "support/dtype_names.h"
#include "support/fail.h"

namespace onnxport {
namespace {

struct Row {
  std::size_t size;
  std::string_view name, short_name, safetensors;
  double lowest, highest;
};

template <class T>
constexpr Row integer(std::string_view name, std::string_view safetensors) {
  using Limits = std::numeric_limits<T>;
  return {sizeof(T),
          name,
          name,
          safetensors,
          static_cast<double>(Limits::lowest()),
          static_cast<double>(Limits::max())};
}

constexpr double kF32 = std::numeric_limits<float>::max();
constexpr double kF64 = std::numeric_limits<double>::max();
constexpr double kF16 = 65504.0;
constexpr double kBF16 = 0x1.FEp127;

// In the order of DType.
constexpr std::array<Row, kAllDTypes.size()> kRows = {{
    {4, "float32", "fp32", "F32", -kF32, kF32},
    {2, "float16", "fp16", "F16", -kF16, kF16},
    {2, "bfloat16", "bf16", "BF16", -kBF16, kBF16},
    {8, "float64", "fp64", "F64", -kF64, kF64},
    integer<std::int64_t>("int64", "I64"),
    integer<std::int32_t>("int32", "I32"),
    integer<std::int16_t>("int16", "I16"),
    integer<std::int8_t>("int8", "I8"),
    integer<std::uint8_t>("uint8", "U8"),
    integer<std::uint16_t>("uint16", "U16"),
    integer<std::uint32_t>("uint32", "U32"),
    integer<std::uint64_t>("uint64", "U64"),
    {1, "bool", "bool", "BOOL", 0, 1},
}};

const Row& row(DType dtype) { return kRows.at(static_cast<std::size_t>(dtype)); }

}  // namespace

std::size_t size_of(DType dtype) { return row(dtype).size; }
std::string_view to_string(DType dtype) { return row(dtype).name; }
std::string_view short_name(DType dtype) { return row(dtype).short_name; }
std::string_view safetensors_name(DType dtype) { return row(dtype).safetensors; }
double lowest(DType dtype) { return row(dtype).lowest; }
double highest(DType dtype) { return row(dtype).highest; }

DType parse_dtype(std::string_view text) {
  std::string known;
  for (DType dtype : kAllDTypes) {
    const Row& names = row(dtype);
    if (text == names.name || text == names.short_name || text == names.safetensors) return dtype;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", names.short_name);
  }
  fail(ErrorCode::invalid_argument, "unknown dtype '{}', expected one of {}", text, known);
}

}  // namespace onnxport
