/// The block formats of GGUF: codes, scales and minima of a block.
/// https://github.com/ggml-org/llama.cpp/blob/b6907/ggml/src/ggml-common.h (the structures `block_…`)
#pragma once

#include <bit>
#include <cstdint>

#include "support/float16.h"

namespace onnxport::gguf {

using Byte = std::uint8_t;

inline float half(const Byte (&bits)[2]) {
  return f16_to_float(static_cast<std::uint16_t>(bits[0] | bits[1] << 8));
}

// Each structure is a block as stored in the file: only bytes, so it has no padding. The value of an element
// is (code - kZero) * scale of its group; formats with kMinimum instead add the minimum of the group to code
// * scale, or subtract it (-1). The inner loops have fixed lengths and no branches, so compilers vectorize
// them.

inline constexpr int kSmall = 32;   // elements of a block of the simple formats
inline constexpr int kSuper = 256;  // elements of a block of the K formats

/// kElements in groups of kGroup, whose codes have kBits.
template <int elements, int group, int bits, int zero, int minimum = 0>
struct BlockShape {
  static constexpr int kElements = elements, kGroup = group, kGroups = elements / group, kBits = bits;
  static constexpr int kZero = zero, kMinimum = minimum;
};

/// Two codes of 4 bits in each byte: those of the first half of the block are the low ones.
inline void halves(const Byte (&quants)[kSmall / 2], Byte* out) {
  for (int i = 0; i < kSmall / 2; ++i) {
    out[i] = quants[i] & 15;
    out[i + kSmall / 2] = static_cast<Byte>(quants[i] >> 4);
  }
}

/// Adds the fifth bits of a block.
inline void add_fifth_bits(const Byte (&high)[4], Byte* out) {
  for (int i = 0; i < kSmall; ++i) out[i] = static_cast<Byte>(out[i] | ((high[i / 8] >> (i % 8)) & 1) << 4);
}

struct Q4_0 : BlockShape<kSmall, kSmall, 4, 8> {
  Byte scale[2], quants[kSmall / 2];
  void codes(Byte* out) const { halves(quants, out); }
  void scales(float* out) const { *out = half(scale); }
};

struct Q4_1 : BlockShape<kSmall, kSmall, 4, 0, 1> {
  Byte scale[2], minimum[2], quants[kSmall / 2];
  void codes(Byte* out) const { halves(quants, out); }
  void scales(float* out) const { *out = half(scale); }
  void minima(float* out) const { *out = half(minimum); }
};

struct Q5_0 : BlockShape<kSmall, kSmall, 5, 16> {
  Byte scale[2], high[4], quants[kSmall / 2];
  void codes(Byte* out) const {
    halves(quants, out);
    add_fifth_bits(high, out);
  }
  void scales(float* out) const { *out = half(scale); }
};

struct Q5_1 : BlockShape<kSmall, kSmall, 5, 0, 1> {
  Byte scale[2], minimum[2], high[4], quants[kSmall / 2];
  void codes(Byte* out) const {
    halves(quants, out);
    add_fifth_bits(high, out);
  }
  void scales(float* out) const { *out = half(scale); }
  void minima(float* out) const { *out = half(minimum); }
};

/// Codes are the signed integers of the file plus 128.
struct Q8_0 : BlockShape<kSmall, kSmall, 8, 128> {
  Byte scale[2], quants[kSmall];
  void codes(Byte* out) const {
    for (int i = 0; i < kSmall; ++i) out[i] = quants[i] ^ 128;
  }
  void scales(float* out) const { *out = half(scale); }
};

/// Codes of 4-bit floats (a sign, two bits of exponent, one of mantissa), here doubled, and the half of a
/// power of two. (Open Compute Project 2023, Microscaling Formats)
struct MXFP4 : BlockShape<kSmall, kSmall, 4, 0> {
  static constexpr float kValues[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
  Byte exponent, quants[kSmall / 2];
  void codes(Byte* out) const { halves(quants, out); }
  void scales(float* out) const {
    const std::uint32_t bits = exponent < 2 ? 0x00200000U << exponent : (exponent - 1U) << 23;
    *out = std::bit_cast<float>(bits);
  }
};

struct Q2_K : BlockShape<kSuper, 16, 2, 0, -1> {
  Byte packed[16], quants[kSuper / 4], scale[2], minimum[2];
  void codes(Byte* out) const {
    for (int group = 0; group < kGroups; ++group) {
      const Byte* q = quants + group / 8 * 32 + group % 2 * 16;
      const int shift = group % 8 / 2 * 2;
      for (int i = 0; i < kGroup; ++i) *out++ = (q[i] >> shift) & 3;
    }
  }
  void scales(float* out) const {
    for (int group = 0; group < kGroups; ++group)
      out[group] = half(scale) * static_cast<float>(packed[group] & 15);
  }
  void minima(float* out) const {
    for (int group = 0; group < kGroups; ++group)
      out[group] = half(minimum) * static_cast<float>(packed[group] >> 4);
  }
};

struct Q3_K : BlockShape<kSuper, 16, 3, 4> {
  Byte high[kSuper / 8], quants[kSuper / 4], packed[12], scale[2];
  void codes(Byte* out) const {
    for (int group = 0; group < kGroups; ++group) {
      const Byte* q = quants + group / 8 * 32 + group % 2 * 16;
      const Byte* h = high + group % 2 * 16;
      const int shift = group % 8 / 2 * 2, bit = group / 2;
      for (int i = 0; i < kGroup; ++i)
        *out++ = static_cast<Byte>(((q[i] >> shift) & 3) + ((h[i] >> bit) & 1) * 4);
    }
  }
  void scales(float* out) const {
    for (int group = 0; group < kGroups; ++group) {
      const int low = (packed[group % 8] >> (group / 8 * 4)) & 15;
      const int upper = (packed[8 + group % 4] >> (group / 4 * 2)) & 3;
      out[group] = half(scale) * static_cast<float>((low | upper << 4) - 32);
    }
  }
};

/// Scales and minima of the eight groups in a block, six bits each.
struct PackedScales {
  Byte bytes[12];
  int scale(int group) const {
    return group < 4 ? bytes[group] & 63 : (bytes[group + 4] & 15) | (bytes[group - 4] >> 6) << 4;
  }
  int minimum(int group) const {
    return group < 4 ? bytes[group + 4] & 63 : (bytes[group + 4] >> 4) | (bytes[group] >> 6) << 4;
  }
};

struct Q4_K : BlockShape<kSuper, 32, 4, 0, -1> {
  Byte scale[2], minimum[2];
  PackedScales packed;
  Byte quants[kSuper / 2];
  void codes(Byte* out) const {
    for (int pair = 0; pair < kGroups / 2; ++pair, out += 2 * kGroup) {
      const Byte* q = quants + pair * kGroup;
      for (int i = 0; i < kGroup; ++i) {
        out[i] = q[i] & 15;
        out[i + kGroup] = static_cast<Byte>(q[i] >> 4);
      }
    }
  }
  void scales(float* out) const {
    for (int group = 0; group < kGroups; ++group)
      out[group] = half(scale) * static_cast<float>(packed.scale(group));
  }
  void minima(float* out) const {
    for (int group = 0; group < kGroups; ++group)
      out[group] = half(minimum) * static_cast<float>(packed.minimum(group));
  }
};

struct Q5_K : BlockShape<kSuper, 32, 5, 0, -1> {
  Byte scale[2], minimum[2];
  PackedScales packed;
  Byte high[kSuper / 8], quants[kSuper / 2];
  void codes(Byte* out) const {
    for (int group = 0; group < kGroups; ++group) {
      const Byte* q = quants + group / 2 * kGroup;
      const int shift = group % 2 * 4;
      for (int i = 0; i < kGroup; ++i)
        *out++ = static_cast<Byte>(((q[i] >> shift) & 15) | ((high[i] >> group) & 1) << 4);
    }
  }
  void scales(float* out) const {
    for (int group = 0; group < kGroups; ++group)
      out[group] = half(scale) * static_cast<float>(packed.scale(group));
  }
  void minima(float* out) const {
    for (int group = 0; group < kGroups; ++group)
      out[group] = half(minimum) * static_cast<float>(packed.minimum(group));
  }
};

struct Q6_K : BlockShape<kSuper, 16, 6, 32> {
  Byte low[kSuper / 2], high[kSuper / 4], packed[16], scale[2];
  void codes(Byte* out) const {
    for (int group = 0; group < kGroups; ++group) {
      const int quarter = group % 8 / 2;  // of 128 elements
      const Byte* l = low + group / 8 * 64 + quarter % 2 * 32 + group % 2 * 16;
      const Byte* h = high + group / 8 * 32 + group % 2 * 16;
      const int low_shift = quarter / 2 * 4, high_shift = quarter * 2;
      for (int i = 0; i < kGroup; ++i)
        *out++ = static_cast<Byte>(((l[i] >> low_shift) & 15) | ((h[i] >> high_shift) & 3) << 4);
    }
  }
  void scales(float* out) const {
    for (int group = 0; group < kGroups; ++group)
      out[group] = half(scale) * static_cast<float>(static_cast<std::int8_t>(packed[group]));
  }
};

}  // namespace onnxport::gguf
