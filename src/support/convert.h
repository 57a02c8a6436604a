/// Conversion of arrays of elements between all dtypes.
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "onnxport/dtype.h"
#include "support/float16.h"

namespace onnxport {

// Storage types for dtypes without a C++ type.
struct F16 {
  std::uint16_t bits;
};
struct BF16 {
  std::uint16_t bits;
};
struct Bool {
  std::uint8_t bits;  ///< any byte except zero is true
};

/// Calls `fn(std::type_identity<T>{})` with the storage type of `dtype`.
template <class Fn>
decltype(auto) with_element_type(DType dtype, Fn&& fn) {
  switch (dtype) {
    case DType::f32:
      return fn(std::type_identity<float>{});
    case DType::f16:
      return fn(std::type_identity<F16>{});
    case DType::bf16:
      return fn(std::type_identity<BF16>{});
    case DType::f64:
      return fn(std::type_identity<double>{});
    case DType::i64:
      return fn(std::type_identity<std::int64_t>{});
    case DType::i32:
      return fn(std::type_identity<std::int32_t>{});
    case DType::i16:
      return fn(std::type_identity<std::int16_t>{});
    case DType::i8:
      return fn(std::type_identity<std::int8_t>{});
    case DType::u8:
      return fn(std::type_identity<std::uint8_t>{});
    case DType::u16:
      return fn(std::type_identity<std::uint16_t>{});
    case DType::u32:
      return fn(std::type_identity<std::uint32_t>{});
    case DType::u64:
      return fn(std::type_identity<std::uint64_t>{});
    case DType::boolean:
      break;
  }
  return fn(std::type_identity<Bool>{});
}

/// Converts a 64-bit integer to a double so that rounding it to half or bfloat16 gives the same result. Bits
/// that do not fit into the double become one sticky bit.
template <std::integral Integer>
double to_double_sticky(Integer value) {
  constexpr Integer kExact = Integer{1} << 53, kLow = (Integer{1} << 13) - 1, kSticky = Integer{1} << 12;
  const bool exact = value <= kExact && (std::unsigned_integral<Integer> || value >= Integer{0} - kExact);
  if (!exact) value = (value & ~kLow) | ((value & kLow) != 0 ? kSticky : Integer{0});
  return static_cast<double>(value);
}

/// Converts one element. Floats round to nearest even in one step. Floats become integers by truncation,
/// saturated at the range (NaN: 0). Integers wrap. Anything except zero is true.
template <class To, class From>
To convert_element(From value) {
  if constexpr (std::same_as<To, From>) {
    return value;
  } else if constexpr (std::same_as<From, F16>) {
    return convert_element<To>(f16_to_float(value.bits));
  } else if constexpr (std::same_as<From, BF16>) {
    return convert_element<To>(bf16_to_float(value.bits));
  } else if constexpr (std::same_as<From, Bool>) {
    return convert_element<To>(static_cast<std::uint8_t>(value.bits != 0));
  } else if constexpr (std::same_as<To, Bool>) {
    return Bool{static_cast<std::uint8_t>(value != 0)};
  } else if constexpr (std::same_as<To, F16>) {
    if constexpr (std::same_as<From, float>) return F16{f16_from_float(value)};
    if constexpr (std::integral<From> && sizeof(From) == 8)
      return F16{f16_from_double(to_double_sticky(value))};
    return F16{f16_from_double(static_cast<double>(value))};
  } else if constexpr (std::same_as<To, BF16>) {
    if constexpr (std::same_as<From, float>) return BF16{bf16_from_float(value)};
    if constexpr (std::integral<From> && sizeof(From) == 8)
      return BF16{bf16_from_double(to_double_sticky(value))};
    return BF16{bf16_from_double(static_cast<double>(value))};
  } else if constexpr (std::floating_point<From> && std::integral<To>) {
    using Limits = std::numeric_limits<To>;
    if (!(value > static_cast<From>(Limits::lowest()))) return std::isnan(value) ? To{0} : Limits::lowest();
    // The largest integer may not be a float. The power of two above it always is, so compare with that.
    constexpr To kHalfOfEnd = Limits::max() / 2 + 1;
    constexpr From kEnd = static_cast<From>(kHalfOfEnd) * 2;
    return value >= kEnd ? Limits::max() : static_cast<To>(value);
  } else {
    return static_cast<To>(value);
  }
}

/// Converts `count` elements with convert_element(). The arrays need no alignment and must not overlap.
void convert(DType from, const std::byte* in, DType to, std::byte* out, std::size_t count);

/// Whether `to` can represent every value of `from`.
bool is_lossless(DType from, DType to);

}  // namespace onnxport
