/// Half precision and bfloat16 as bit patterns.
///
/// Plain integer and float code, not _Float16: the conversions of that type call run-time functions whose
/// names and calling convention differ between gcc and clang. All rounding is to nearest, ties to even;
/// overflow gives infinity; NaNs stay NaNs with the upper bits of their payload. Everything selects instead
/// of branching, so that loops over these functions vectorize. Assumes the default rounding mode and no
/// flushing of denormals.
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
  // Denormal halves: adding 0.5 leaves the float unit with a last place of 2^-24, so that it does the
  // rounding. The addend is made harmless for other values, which would round-trip through infinity or NaN
  // for nothing.
  const float small = std::bit_cast<float>(magnitude < 0x38800000U ? magnitude : 0U) + 0.5F;
  const std::uint32_t denormal = std::bit_cast<std::uint32_t>(small) - 0x3f000000U;
  // Normal halves: rebias the exponent by 15 - 127 and round on the 13 bits that fall off; a carry out of the
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

/// The float next to `value` with an odd mantissa when `value` is no float itself. Rounding the result again,
/// to a type with at least two bits less, then gives what rounding `value` once would have given.
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
