#include "support/quantize_blocks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "support/quantize_k.h"
#include "support/vectors.h"

namespace onnxport {
namespace {

using vectors::Bytes;
using vectors::Floats;
using vectors::Ints;
using vectors::Shorts;
using vectors::splat;

constexpr std::int64_t kLargestBlock = 256;
constexpr std::int64_t kStep = 16;  // values that an iteration handles; divides every block

/// The smallest and the largest of values and 0.
struct Range {
  float low, high;
};

Range find_range(const float* values, std::int64_t count) {
  Floats low[2] = {}, high[2] = {};
  for (std::int64_t i = 0; i < count; i += kStep) {
    const auto a = vectors::load<Floats>(values + i), b = vectors::load<Floats>(values + i + 4);
    const auto c = vectors::load<Floats>(values + i + 8), d = vectors::load<Floats>(values + i + 12);
    low[0] = vectors::min(a, low[0]);
    high[0] = vectors::max(a, high[0]);
    low[1] = vectors::min(b, low[1]);
    high[1] = vectors::max(b, high[1]);
    low[0] = vectors::min(c, low[0]);
    high[0] = vectors::max(c, high[0]);
    low[1] = vectors::min(d, low[1]);
    high[1] = vectors::max(d, high[1]);
  }
  return {vectors::lowest(vectors::min(low[0], low[1])), vectors::highest(vectors::max(high[0], high[1]))};
}

/// Rounds half away from zero, which needs no more than this for values that are not negative: the float
/// below 0.5 is added, because 0.5 would round its own neighbour up.
constexpr float kBelowHalf = 0x1.fffffep-2F;

/// How the codes of a block follow from its values.
struct Encoding {
  float factor;  ///< 1 / scale
  float zero_point, largest;

  Ints operator()(Floats values) const {
    const Floats zero = {};
    const Floats shifted = values * splat(factor) + splat(zero_point);
    const Floats code = vectors::min(vectors::max(shifted, zero), splat(largest));
    return __builtin_convertvector(code + splat(kBelowHalf), Ints);
  }
};

/// 16 codes of `kBits` bits, in 2 * kBits bytes. Each round joins neighbouring bytes.
template <int kBits>
void pack(Bytes codes, std::uint8_t* out) {
  if constexpr (kBits <= 4) {
    const auto pairs = reinterpret_cast<Shorts>(codes);
    codes = vectors::even_bytes(pairs | (pairs >> (8 - kBits)), Shorts{});
  }
  if constexpr (kBits == 2) {
    const auto pairs = reinterpret_cast<Shorts>(codes);
    codes = vectors::even_bytes(pairs | (pairs >> 4), Shorts{});
  }
  std::memcpy(out, &codes, 2 * kBits);
}

/// Encodes `count` values, a multiple of kStep.
template <int kBits>
void encode(const float* values, std::int64_t count, const Encoding& encoding, std::uint8_t* out) {
  for (std::int64_t i = 0; i < count; i += kStep, out += 2 * kBits) {
    const Ints a = encoding(vectors::load<Floats>(values + i));
    const Ints b = encoding(vectors::load<Floats>(values + i + 4));
    const Ints c = encoding(vectors::load<Floats>(values + i + 8));
    const Ints d = encoding(vectors::load<Floats>(values + i + 12));
    pack<kBits>(vectors::low_bytes(a, b, c, d), out);
  }
}

/// The integer nearest to a value that is not negative, at most `largest`.
float round_clipped(float value, float largest) {
  return std::trunc((value < largest ? value : largest) + kBelowHalf);
}

template <int kBits>
struct Rtn {
  static constexpr float kHalf = 1 << (kBits - 1), kLargest = (1 << kBits) - 1;

  std::int64_t block_size;
  bool symmetric;

  /// One block; padded with zeros, which change neither scale nor zero point.
  void quantize(const float* values, const BlockResults& to) const {
    const Range range = find_range(values, block_size);
    float scale = 0, zero_point = kHalf;
    if (symmetric) {
      scale = (std::fabs(range.high) > std::fabs(range.low) ? range.high : range.low) / -kHalf;
    } else {
      scale = (range.high - range.low) / kLargest;
      zero_point = scale == 0 ? 0 : round_clipped(0 - range.low / scale, kLargest);
      *to.zero_points = static_cast<std::uint8_t>(zero_point);
    }
    *to.scales = scale;
    encode<kBits>(values, block_size, {scale == 0 ? 0 : 1 / scale, zero_point, kLargest}, to.codes);
  }

  void run(const float* values, std::int64_t count, BlockResults to) const {
    const std::int64_t bytes = block_size * kBits / 8;
    const auto next = [&] {
      to.codes += bytes;
      ++to.scales;
      if (!symmetric) ++to.zero_points;
    };
    for (; count >= block_size; count -= block_size, values += block_size, next()) quantize(values, to);
    if (count == 0) return;
    std::array<float, kLargestBlock> padded{};
    std::copy_n(values, count, padded.begin());
    quantize(padded.data(), to);
    constexpr std::int64_t kPerByte = 8 / kBits;
    const std::int64_t used = (count + kPerByte - 1) / kPerByte;
    if (count % kPerByte != 0) {
      to.codes[used - 1] &= static_cast<std::uint8_t>((1 << (count % kPerByte * kBits)) - 1);
    }
    std::fill(to.codes + used, to.codes + bytes, std::uint8_t{0});
  }
};

template <class T>
void dequantize(const std::uint8_t* codes, int bits, T scale, int zero_point, std::int64_t first,
                std::int64_t count, T* out) {
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = static_cast<T>(get_code(codes, bits, first + i) - zero_point) * scale;
}

}  // namespace

void quantize_blocks(const float* values, std::int64_t count, const BlockParameters& parameters,
                     BlockResults results, SumOrder order) {
  if (parameters.algorithm == BlockAlgorithm::k_quant) {
    return quantize_k(values, count, parameters, results, order);
  }
  const std::int64_t block_size = parameters.block_size;
  const bool symmetric = parameters.symmetric;
  if (parameters.bits == 2) return Rtn<2>{block_size, symmetric}.run(values, count, results);
  if (parameters.bits == 4) return Rtn<4>{block_size, symmetric}.run(values, count, results);
  Rtn<8>{block_size, symmetric}.run(values, count, results);
}

void pack_zero_points(const std::uint8_t* zero_points, std::int64_t blocks, int bits, std::uint8_t* out) {
  const std::int64_t per_byte = 8 / bits, bytes = (blocks + per_byte - 1) / per_byte;
  for (std::int64_t i = 0; i < bytes * per_byte; ++i) {
    const int value = i < blocks ? zero_points[i] : 1 << (bits - 1);
    const int shifted = value << (i % per_byte * bits);
    out[i / per_byte] = static_cast<std::uint8_t>(i % per_byte == 0 ? shifted : out[i / per_byte] | shifted);
  }
}

void dequantize_block(const std::uint8_t* codes, int bits, float scale, int zero_point, std::int64_t first,
                      std::int64_t count, float* out) {
  dequantize(codes, bits, scale, zero_point, first, count, out);
}

void dequantize_block(const std::uint8_t* codes, int bits, float scale, int zero_point, std::int64_t first,
                      std::int64_t count, double* out) {
  dequantize(codes, bits, static_cast<double>(scale), zero_point, first, count, out);
}

std::int64_t count_non_finite(const float* values, std::int64_t count) {
  // The exponents of NaNs and infinities are all ones. Lanes are added to the total before they overflow.
  constexpr std::int32_t kExponent = 0x7f800000;
  constexpr std::int64_t kMany = std::int64_t{1} << 30;
  std::int64_t total = 0, i = 0;
  while (count - i >= kStep) {
    Ints found[kStep / vectors::kLanes] = {};  // NOLINT: std::array drops the attribute of the vector
    const std::int64_t end = std::min(count - kStep + 1, i + kMany);
    for (; i < end; i += kStep) {
      for (int k = 0; k < kStep / vectors::kLanes; ++k) {
        const auto bits = vectors::load<Ints>(values + i + k * vectors::kLanes);
        found[k] -= (bits & splat(kExponent)) == splat(kExponent);
      }
    }
    for (const Ints& lanes : found) total += std::int64_t{lanes[0]} + lanes[1] + lanes[2] + lanes[3];
  }
  for (; i < count; ++i) total += std::isfinite(values[i]) ? 0 : 1;
  return total;
}

}  // namespace onnxport
