#include "support/convert.h"

#include <concepts>
#include <cstring>
#include <vector>

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

template <class T>
concept HalfFloat = std::same_as<T, F16> || std::same_as<T, BF16>;

/// All 65536 values of one format of half precision, converted to the other one.
template <HalfFloat To, HalfFloat From>
const std::vector<To>& half_table() {
  static const std::vector<To> table = [] {
    std::vector<To> values(std::size_t{1} << 16);
    for (std::size_t bits = 0; bits < values.size(); ++bits)
      values[bits] = convert_element<To>(From{static_cast<std::uint16_t>(bits)});
    return values;
  }();
  return table;
}

/// Weights have few exponents, so the table entries that they need are in the first-level cache.
template <HalfFloat To, HalfFloat From>
void convert_halves(const std::byte* __restrict in, std::byte* __restrict out, std::size_t count) {
  const To* table = half_table<To, From>().data();
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, in + i * sizeof bits, sizeof bits);
    std::memcpy(out + i * sizeof(To), &table[bits], sizeof(To));
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
    with_element_type(to, [&]<class To>(std::type_identity<To>) {
      if constexpr (HalfFloat<From> && HalfFloat<To>) {
        constexpr std::size_t kMany = 4096;  // for fewer, a table is not worth its while
        if (count >= kMany) return convert_halves<To, From>(in, out, count);
      }
      convert_array<To, From>(in, out, count);
    });
  });
}

bool is_lossless(DType from, DType to) {
  if (from == to) return true;
  if (is_float(from) && !is_float(to)) return false;
  if (is_signed(from) && !is_signed(to)) return false;
  return precision(from) <= precision(to) && highest(from) <= highest(to);
}

}  // namespace onnxport
