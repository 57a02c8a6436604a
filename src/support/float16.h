/// Half precision and bfloat16 as bit patterns.
///
/// The code uses plain integers and floats, not _Float16, whose conversions call run-time functions that
/// differ between gcc and clang in names and calling convention. Rounds to nearest, ties to even. Overflow
/// gives infinity. NaNs stay NaNs and keep the upper bits of their payload. Selects instead of branching, so
/// loops over these functions vectorize. Assumes the default rounding mode and no flushing of denormals.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace onnxport {

inline float f16_to_float(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(half & 0x7fffU) << 13;
  // Read as a float, the shifted bits are too small by 2^112: exact for normal and denormal halves alike.
  const std::uint32_t finite = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112F);
  return std::bit_cast<float>(sign | (magnitude >= 0x0f800000U ? magnitude | 0x7f800000U : finite));
}

inline std::uint16_t f16_from_float(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  // Denormal halves: after adding 0.5, the last place of the float is 2^-24, so the float unit does the
  // rounding. For other values, the addend is made harmless, so that they do not become infinity or NaN for
  // nothing.
  const float small = std::bit_cast<float>(magnitude < 0x38800000U ? magnitude : 0U) + 0.5F;
  const std::uint32_t denormal = std::bit_cast<std::uint32_t>(small) - 0x3f000000U;
  // Normal halves: rebias the exponent by 15 - 127 and round on the 13 dropped bits. A carry out of the
  // mantissa goes into the exponent, up to infinity.
  const std::uint32_t normal = (magnitude + 0xc8000fffU + ((magnitude >> 13) & 1U)) >> 13;
  const std::uint32_t payload = (magnitude >> 13) & 0x3ffU;
  const std::uint32_t nan = 0x7c00U | payload | (payload == 0 ? 0x200U : 0U);
  std::uint32_t result = magnitude < 0x38800000U ? denormal : normal;
  result = magnitude >= 0x47800000U ? 0x7c00U : result;
  result = magnitude > 0x7f800000U ? nan : result;
  return static_cast<std::uint16_t>(sign | result);
}

inline float bf16_to_float(std::uint16_t value) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16);
}

inline std::uint16_t bf16_from_float(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const std::uint32_t cut = bits >> 16;
  const std::uint32_t nan = cut | ((cut & 0x7fU) == 0 ? 0x40U : 0U);
  return static_cast<std::uint16_t>((bits & 0x7fffffffU) > 0x7f800000U ? nan : rounded);
}

/// If `value` is not a float, the neighbouring float with an odd mantissa. Rounding this result again, to a
/// type with at least two bits fewer, gives the same as rounding `value` once.
inline float round_to_odd(double value) {
  const float near = static_cast<float>(value);
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(near);
  const double back = near;
  if (back == value || std::isnan(value) || (bits & 1U) != 0) return near;
  const bool away = std::abs(back) < std::abs(value);  // `near` was rounded towards zero
  return std::bit_cast<float>(away ? bits + 1 : bits - 1);
}

inline std::uint16_t f16_from_double(double value) { return f16_from_float(round_to_odd(value)); }
inline std::uint16_t bf16_from_double(double value) { return bf16_from_float(round_to_odd(value)); }

}  // namespace onnxport
