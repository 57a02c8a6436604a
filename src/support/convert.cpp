#include "support/convert.h"

#include <cstring>

namespace onnxport {
namespace {

template <class To, class From>
void convert_array(const std::byte* __restrict in, std::byte* __restrict out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    From value;
    std::memcpy(&value, in + i * sizeof(From), sizeof(From));
    const To converted = convert_element<To>(value);
    std::memcpy(out + i * sizeof(To), &converted, sizeof(To));
  }
}

/// Bits of the range of an integer dtype without its sign, or of the mantissa of a float dtype.
int precision(DType dtype) {
  return with_element_type(dtype, []<class T>(std::type_identity<T>) {
    if constexpr (std::same_as<T, F16>) return 11;
    if constexpr (std::same_as<T, BF16>) return 8;
    if constexpr (std::same_as<T, Bool>) return 1;
    return std::numeric_limits<T>::digits;
  });
}

bool is_signed(DType dtype) { return lowest(dtype) < 0; }

}  // namespace

void convert(DType from, const std::byte* in, DType to, std::byte* out, std::size_t count) {
  if (count == 0) return;
  if (from == to) {
    std::memcpy(out, in, count * size_of(from));
    return;
  }
  with_element_type(from, [&]<class From>(std::type_identity<From>) {
    with_element_type(to, [&]<class To>(std::type_identity<To>) { convert_array<To, From>(in, out, count); });
  });
}

bool is_lossless(DType from, DType to) {
  if (from == to) return true;
  if (is_float(from) && !is_float(to)) return false;
  if (is_signed(from) && !is_signed(to)) return false;
  return precision(from) <= precision(to) && highest(from) <= highest(to);
}

}  // namespace onnxport
