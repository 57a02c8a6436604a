#include "checkpoint/ggml_blocks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "support/float16.h"

// The bits must not depend on compiler or processor. cmake/targets.cmake compiles this file without fused
// multiply-adds, so every product is rounded, as in the original.

namespace onnxport::gguf {
namespace {

using Byte = std::uint8_t;

float half(const Byte (&bits)[2]) { return f16_to_float(static_cast<std::uint16_t>(bits[0] | bits[1] << 8)); }

// Each structure is a block as stored in the file: only bytes, so it has no padding. `decode` writes its
// elements. The inner loops have fixed lengths and no branches, so compilers vectorize them.

constexpr int kSmall = 32;   // elements of a block of the simple formats
constexpr int kSuper = 256;  // elements of a block of the K formats

struct Q4_0 {
  static constexpr int kElements = kSmall;
  Byte scale[2], quants[kSmall / 2];
  void decode(float* out) const {
    const float d = half(scale);
    for (int i = 0; i < kSmall / 2; ++i) {
      out[i] = d * static_cast<float>((quants[i] & 15) - 8);
      out[i + kSmall / 2] = d * static_cast<float>((quants[i] >> 4) - 8);
    }
  }
};

struct Q4_1 {
  static constexpr int kElements = kSmall;
  Byte scale[2], minimum[2], quants[kSmall / 2];
  void decode(float* out) const {
    const float d = half(scale), m = half(minimum);
    for (int i = 0; i < kSmall / 2; ++i) {
      out[i] = d * static_cast<float>(quants[i] & 15) + m;
      out[i + kSmall / 2] = d * static_cast<float>(quants[i] >> 4) + m;
    }
  }
};

/// The fifth bits of a block, one at the position of each element.
void spread_bits(const Byte (&high)[4], Byte* out) {
  for (int i = 0; i < kSmall; ++i) out[i] = static_cast<Byte>(((high[i / 8] >> (i % 8)) & 1) << 4);
}

struct Q5_0 {
  static constexpr int kElements = kSmall;
  Byte scale[2], high[4], quants[kSmall / 2];
  void decode(float* out) const {
    const float d = half(scale);
    Byte fifth[kSmall];
    spread_bits(high, fifth);
    for (int i = 0; i < kSmall / 2; ++i) {
      out[i] = d * static_cast<float>(((quants[i] & 15) | fifth[i]) - 16);
      out[i + kSmall / 2] = d * static_cast<float>(((quants[i] >> 4) | fifth[i + kSmall / 2]) - 16);
    }
  }
};

struct Q5_1 {
  static constexpr int kElements = kSmall;
  Byte scale[2], minimum[2], high[4], quants[kSmall / 2];
  void decode(float* out) const {
    const float d = half(scale), m = half(minimum);
    Byte fifth[kSmall];
    spread_bits(high, fifth);
    for (int i = 0; i < kSmall / 2; ++i) {
      out[i] = d * static_cast<float>((quants[i] & 15) | fifth[i]) + m;
      out[i + kSmall / 2] = d * static_cast<float>((quants[i] >> 4) | fifth[i + kSmall / 2]) + m;
    }
  }
};

struct Q8_0 {
  static constexpr int kElements = kSmall;
  Byte scale[2], quants[kSmall];
  void decode(float* out) const {
    const float d = half(scale);
    for (int i = 0; i < kSmall; ++i) out[i] = static_cast<float>(static_cast<std::int8_t>(quants[i])) * d;
  }
};

struct Q2_K {
  static constexpr int kElements = kSuper;
  Byte scales[16], quants[kSuper / 4], scale[2], minimum[2];
  void decode(float* out) const {
    const float d = half(scale), m = half(minimum);
    for (int group = 0; group < 16; ++group) {  // of 16 elements
      const float dl = d * static_cast<float>(scales[group] & 15);
      const float ml = m * static_cast<float>(scales[group] >> 4);
      const Byte* q = quants + group / 8 * 32 + group % 2 * 16;
      const int shift = group % 8 / 2 * 2;
      for (int i = 0; i < 16; ++i) *out++ = dl * static_cast<float>((q[i] >> shift) & 3) - ml;
    }
  }
};

struct Q3_K {
  static constexpr int kElements = kSuper;
  Byte high[kSuper / 8], quants[kSuper / 4], scales[12], scale[2];
  void decode(float* out) const {
    const float d = half(scale);
    for (int group = 0; group < 16; ++group) {  // of 16 elements
      const int low = (scales[group % 8] >> (group / 8 * 4)) & 15;
      const int upper = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
      const float dl = d * static_cast<float>((low | upper << 4) - 32);
      const Byte* q = quants + group / 8 * 32 + group % 2 * 16;
      const Byte* h = high + group % 2 * 16;
      const int shift = group % 8 / 2 * 2, bit = group / 2;
      for (int i = 0; i < 16; ++i) {
        *out++ = dl * static_cast<float>(((q[i] >> shift) & 3) + ((h[i] >> bit) & 1) * 4 - 4);
      }
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

struct Q4_K {
  static constexpr int kElements = kSuper;
  Byte scale[2], minimum[2];
  PackedScales scales;
  Byte quants[kSuper / 2];
  void decode(float* out) const {
    const float d = half(scale), m = half(minimum);
    for (int pair = 0; pair < 4; ++pair, out += 64) {  // of groups of 32 elements
      const float d0 = d * static_cast<float>(scales.scale(2 * pair));
      const float d1 = d * static_cast<float>(scales.scale(2 * pair + 1));
      const float m0 = m * static_cast<float>(scales.minimum(2 * pair));
      const float m1 = m * static_cast<float>(scales.minimum(2 * pair + 1));
      const Byte* q = quants + pair * 32;
      for (int i = 0; i < 32; ++i) {
        out[i] = d0 * static_cast<float>(q[i] & 15) - m0;
        out[i + 32] = d1 * static_cast<float>(q[i] >> 4) - m1;
      }
    }
  }
};

struct Q5_K {
  static constexpr int kElements = kSuper;
  Byte scale[2], minimum[2];
  PackedScales scales;
  Byte high[kSuper / 8], quants[kSuper / 2];
  void decode(float* out) const {
    const float d = half(scale), m = half(minimum);
    for (int group = 0; group < 8; ++group) {  // of 32 elements
      const float dl = d * static_cast<float>(scales.scale(group));
      const float ml = m * static_cast<float>(scales.minimum(group));
      const Byte* q = quants + group / 2 * 32;
      const int shift = group % 2 * 4;
      for (int i = 0; i < 32; ++i) {
        *out++ = dl * static_cast<float>(((q[i] >> shift) & 15) | ((high[i] >> group) & 1) << 4) - ml;
      }
    }
  }
};

struct Q6_K {
  static constexpr int kElements = kSuper;
  Byte low[kSuper / 2], high[kSuper / 4], scales[16], scale[2];
  void decode(float* out) const {
    const float d = half(scale);
    for (int group = 0; group < 16; ++group) {  // of 16 elements
      const float dl = d * static_cast<float>(static_cast<std::int8_t>(scales[group]));
      const int quarter = group % 8 / 2;  // of 128 elements
      const Byte* l = low + group / 8 * 64 + quarter % 2 * 32 + group % 2 * 16;
      const Byte* h = high + group / 8 * 32 + group % 2 * 16;
      const int low_shift = quarter / 2 * 4, high_shift = quarter * 2;
      for (int i = 0; i < 16; ++i) {
        *out++ = dl * static_cast<float>((((l[i] >> low_shift) & 15) | ((h[i] >> high_shift) & 3) << 4) - 32);
      }
    }
  }
};

template <class Block>
void decode(const std::byte* blocks, std::int64_t count, std::byte* out) {
  for (std::int64_t i = 0; i < count; ++i) {
    Block block;
    float values[Block::kElements];
    std::memcpy(&block, blocks + i * static_cast<std::int64_t>(sizeof(Block)), sizeof(Block));
    block.decode(values);
    std::memcpy(out + i * static_cast<std::int64_t>(sizeof values), values, sizeof values);
  }
}

template <class Block>
constexpr detail::BlockFormat format(std::string_view name) {
  static_assert(alignof(Block) == 1);
  return {name, sizeof(Block), Block::kElements, decode<Block>};
}

constexpr detail::BlockFormat kQ4_0 = format<Q4_0>("Q4_0");
constexpr detail::BlockFormat kQ4_1 = format<Q4_1>("Q4_1");
constexpr detail::BlockFormat kQ5_0 = format<Q5_0>("Q5_0");
constexpr detail::BlockFormat kQ5_1 = format<Q5_1>("Q5_1");
constexpr detail::BlockFormat kQ8_0 = format<Q8_0>("Q8_0");
constexpr detail::BlockFormat kQ2_K = format<Q2_K>("Q2_K");
constexpr detail::BlockFormat kQ3_K = format<Q3_K>("Q3_K");
constexpr detail::BlockFormat kQ4_K = format<Q4_K>("Q4_K");
constexpr detail::BlockFormat kQ5_K = format<Q5_K>("Q5_K");
constexpr detail::BlockFormat kQ6_K = format<Q6_K>("Q6_K");

constexpr TensorType plain(std::uint32_t number, std::string_view name, DType dtype) {
  return {.number = number, .name = name, .dtype = dtype};
}
constexpr TensorType blocks(std::uint32_t number, const detail::BlockFormat& format) {
  return {.number = number, .name = format.name, .blocks = &format};
}
constexpr TensorType other(std::uint32_t number, std::string_view name) {
  return {.number = number, .name = name, .supported = false};
}

constexpr std::array kTypes = {plain(0, "F32", DType::f32),
                               plain(1, "F16", DType::f16),
                               plain(30, "BF16", DType::bf16),
                               blocks(8, kQ8_0),
                               blocks(2, kQ4_0),
                               blocks(3, kQ4_1),
                               blocks(6, kQ5_0),
                               blocks(7, kQ5_1),
                               blocks(10, kQ2_K),
                               blocks(11, kQ3_K),
                               blocks(12, kQ4_K),
                               blocks(13, kQ5_K),
                               blocks(14, kQ6_K),
                               plain(28, "F64", DType::f64),
                               plain(24, "I8", DType::i8),
                               plain(25, "I16", DType::i16),
                               plain(26, "I32", DType::i32),
                               plain(27, "I64", DType::i64),
                               other(9, "Q8_1"),
                               other(15, "Q8_K"),
                               other(16, "IQ2_XXS"),
                               other(17, "IQ2_XS"),
                               other(18, "IQ3_XXS"),
                               other(19, "IQ1_S"),
                               other(20, "IQ4_NL"),
                               other(21, "IQ3_S"),
                               other(22, "IQ2_S"),
                               other(23, "IQ4_XS"),
                               other(29, "IQ1_M"),
                               other(34, "TQ1_0"),
                               other(35, "TQ2_0"),
                               other(39, "MXFP4"),
                               other(40, "NVFP4"),
                               other(41, "Q1_0")};

}  // namespace

const TensorType* find_type(std::uint32_t number) {
  const auto* const found = std::find_if(kTypes.begin(), kTypes.end(),
                                         [&](const TensorType& type) { return type.number == number; });
  return found == kTypes.end() ? nullptr : found;
}

std::vector<std::string> supported_types() {
  std::vector<std::string> names;
  for (const TensorType& type : kTypes) {
    if (type.supported) names.emplace_back(type.name);
  }
  return names;
}

}  // namespace onnxport::gguf
