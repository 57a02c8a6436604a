/// Floats of 8 bits as bit patterns. All values are exact as float.
/// https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

#include "support/float16.h"

namespace onnxport {

/// The formats that safetensors calls F8_E4M3, F8_E5M2 and F8_E8M0.
enum class Float8 : std::uint8_t { e4m3, e5m2, e8m0 };

/// Bias 7; no infinities, and of each sign one NaN, 0x7f. (torch.float8_e4m3fn)
inline float e4m3_to_float(std::uint8_t code) {
  const std::uint32_t sign = static_cast<std::uint32_t>(code & 0x80U) << 24;
  const std::uint32_t magnitude = static_cast<std::uint32_t>(code & 0x7fU) << 20;
  if (magnitude == 0x07f00000U) return std::bit_cast<float>(sign | 0x7fc00000U);
  // Read as a float, the shifted bits are too small by 2^120: exact for normal and denormal codes alike.
  return std::bit_cast<float>(sign |
                              std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) * 0x1p120F));
}

/// The upper half of a float16. (torch.float8_e5m2)
inline float e5m2_to_float(std::uint8_t code) { return f16_to_float(static_cast<std::uint16_t>(code << 8)); }

/// A power of two, 2^(code - 127); 0xff is NaN. (torch.float8_e8m0fnu)
inline float e8m0_to_float(std::uint8_t code) {
  if (code == 0xff) return std::numeric_limits<float>::quiet_NaN();
  return std::bit_cast<float>(code == 0 ? 0x00400000U : static_cast<std::uint32_t>(code) << 23);
}

/// The values of all codes.
inline std::array<float, 256> float8_values(Float8 format) {
  std::array<float, 256> values{};
  for (std::uint32_t code = 0; code < values.size(); ++code) {
    const auto byte = static_cast<std::uint8_t>(code);
    values[code] = format == Float8::e4m3   ? e4m3_to_float(byte)
                   : format == Float8::e5m2 ? e5m2_to_float(byte)
                                            : e8m0_to_float(byte);
  }
  return values;
}

}  // namespace onnxport
