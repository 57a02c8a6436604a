#include "onnx/element_type.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

namespace onnxport {
namespace {

struct ElementType {
  std::string_view name;
  std::size_t bits;
};

// Indexed by number, because the values of TensorProto.DataType are dense. The names are those of
// to_string(DType).
constexpr ElementType element_types[] = {
    {"undefined", 0},      {"float32", 32},  {"uint8", 8},        {"int8", 8},           {"uint16", 16},
    {"int16", 16},         {"int32", 32},    {"int64", 64},       {"string", 0},         {"bool", 8},
    {"float16", 16},       {"float64", 64},  {"uint32", 32},      {"uint64", 64},        {"complex64", 64},
    {"complex128", 128},   {"bfloat16", 16}, {"float8e4m3fn", 8}, {"float8e4m3fnuz", 8}, {"float8e5m2", 8},
    {"float8e5m2fnuz", 8}, {"uint4", 4},     {"int4", 4},         {"float4e2m1", 4},     {"float8e8m0", 8},
    {"uint2", 2},          {"int2", 2},      {"float6e2m3", 6},   {"float6e3m2", 6},
};

bool is_known(std::int32_t type) {
  return type >= 0 && static_cast<std::size_t>(type) < std::size(element_types);
}

}  // namespace

std::int32_t element_type(DType dtype) {
  const auto* found = std::ranges::find(element_types, to_string(dtype), &ElementType::name);
  return static_cast<std::int32_t>(found - std::begin(element_types));
}

std::int32_t element_type(PackedElement type) { return static_cast<std::int32_t>(type); }

int ir_version_of(PackedElement type) {
  return type == PackedElement::uint4 || type == PackedElement::int4 ? 10 : 13;
}

std::string element_type_name(std::int32_t type) {
  return is_known(type) ? std::string(element_types[type].name) : fmt::format("type {}", type);
}

std::size_t element_type_bits(std::int32_t type) { return is_known(type) ? element_types[type].bits : 0; }

}  // namespace onnxport
