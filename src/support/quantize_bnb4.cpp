#include "support/quantize_bnb4.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <utility>

#include "support/vectors.h"

namespace onnxport {
namespace {

using vectors::Bytes;
using vectors::Floats;
using vectors::Ints;
using vectors::Shorts;
using vectors::splat;

constexpr std::array<float, 16> kFp4 = {
    0.0F,  5.208333333e-03F,  0.66666667F,  1.0F,  0.33333333F,  0.5F,  0.16666667F,  0.25F,
    -0.0F, -5.208333333e-03F, -0.66666667F, -1.0F, -0.33333333F, -0.5F, -0.16666667F, -0.25F};
constexpr std::array<float, 16> kNf4 = {-1.0F,
                                        -0.6961928009986877F,
                                        -0.5250730514526367F,
                                        -0.39491748809814453F,
                                        -0.28444138169288635F,
                                        -0.18477343022823334F,
                                        -0.09105003625154495F,
                                        0.0F,
                                        0.07958029955625534F,
                                        0.16093020141124725F,
                                        0.24611230194568634F,
                                        0.33791524171829224F,
                                        0.44070982933044434F,
                                        0.5626170039176941F,
                                        0.7229568362236023F,
                                        1.0F};

// A code is the number of bounds below the value: those between neighbouring values of the tables, as ONNX
// Runtime rounds them.
constexpr std::array<float, 15> kNf4Bounds = {
    -0.8480964004993439F,  -0.6106329262256622F,  -0.4599952697753906F,   -0.33967943489551544F,
    -0.23460740596055984F, -0.13791173323988914F, -0.045525018125772476F, 0.03979014977812767F,
    0.1202552504837513F,   0.2035212516784668F,   0.2920137718319893F,    0.3893125355243683F,
    0.5016634166240692F,   0.6427869200706482F,   0.8614784181118011F};
/// Of magnitudes.
constexpr std::array<float, 7> kFp4Bounds = {0.00260417F, 0.0859375F, 0.20833333F, 0.29166667F,
                                             0.4166667F,  0.583333F,  0.8333333F};

/// The number of bounds below each value. Written out, because not every compiler unrolls such a loop.
template <std::size_t... kIndex>
Ints count_below(Floats values, const std::array<float, sizeof...(kIndex)>& bounds,
                 std::index_sequence<kIndex...>) {
  return Ints{} - (... + (values > splat(bounds[kIndex])));
}

Ints nf4_codes(Floats values) { return count_below(values, kNf4Bounds, std::make_index_sequence<15>()); }

Ints fp4_codes(Floats values) {
  const auto bits = reinterpret_cast<Ints>(values) & splat(std::int32_t{0x7fffffff});
  const Ints rank = count_below(reinterpret_cast<Floats>(bits), kFp4Bounds, std::make_index_sequence<7>());
  // Codes by ascending magnitude: 0, 1, 6, 7, 4, 5, 2, 3. From 2 on, the two upper bits count down.
  const Ints magnitude = rank > 1 ? (splat(std::int32_t{8}) - (rank & 6)) | (rank & 1) : rank;
  const Floats zero = {};
  return magnitude | ((values < zero) & 8);
}

/// A block of a multiple of 16 values.
template <class Codes>
void quantize(const float* values, std::int64_t count, Codes codes_of, std::uint8_t* codes,
              float* magnitude) {
  Floats high = {};
  for (std::int64_t i = 0; i < count; i += vectors::kLanes) {
    const auto value = vectors::load<Ints>(values + i) & splat(std::int32_t{0x7fffffff});
    high = vectors::max(reinterpret_cast<Floats>(value), high);
  }
  *magnitude = vectors::highest(high);
  const Floats factor = splat(*magnitude == 0 ? 0.0F : 1 / *magnitude);
  for (std::int64_t i = 0; i < count; i += 16, codes += 8) {
    const Ints a = codes_of(vectors::load<Floats>(values + i) * factor);
    const Ints b = codes_of(vectors::load<Floats>(values + i + 4) * factor);
    const Ints c = codes_of(vectors::load<Floats>(values + i + 8) * factor);
    const Ints d = codes_of(vectors::load<Floats>(values + i + 12) * factor);
    const auto pairs = reinterpret_cast<Shorts>(vectors::low_bytes(a, b, c, d));
    const Bytes packed = vectors::even_bytes((pairs << 4) | (pairs >> 8), Shorts{});
    std::memcpy(codes, &packed, 8);
  }
}

template <class Codes>
void quantize_all(const float* values, std::int64_t count, std::int64_t block_size, Codes codes_of,
                  std::uint8_t* codes, float* magnitudes) {
  for (; count >= block_size; count -= block_size) {
    quantize(values, block_size, codes_of, codes, magnitudes++);
    values += block_size;
    codes += block_size / 2;
  }
  if (count == 0) return;
  std::array<std::uint8_t, 8> last{};
  const std::int64_t whole = count / 16 * 16, rest = count - whole;
  // Zeros at the end change nothing.
  float magnitude = 0;
  for (std::int64_t i = 0; i < count; ++i) magnitude = std::max(magnitude, std::fabs(values[i]));
  *magnitudes = magnitude;
  const float factor = magnitude == 0 ? 0.0F : 1 / magnitude;
  std::array<float, 16> scaled{};
  for (std::int64_t i = 0; i < count; i += 16) {
    const std::int64_t here = i < whole ? 16 : rest;
    scaled.fill(0);
    for (std::int64_t j = 0; j < here; ++j) scaled[static_cast<std::size_t>(j)] = values[i + j] * factor;
    for (std::size_t j = 0; j < 16; j += 4) {
      const Ints four = codes_of(vectors::load<Floats>(scaled.data() + j));
      last[j / 2] = static_cast<std::uint8_t>(four[0] << 4 | four[1]);
      last[j / 2 + 1] = static_cast<std::uint8_t>(four[2] << 4 | four[3]);
    }
    std::copy_n(last.begin(), (here + 1) / 2, codes + i / 2);
  }
}

}  // namespace

const std::array<float, 16>& bnb4_values(Bnb4Type type) { return type == Bnb4Type::nf4 ? kNf4 : kFp4; }

void quantize_bnb4(const float* values, std::int64_t count, Bnb4Type type, std::int64_t block_size,
                   std::uint8_t* codes, float* magnitudes) {
  if (type == Bnb4Type::nf4) {
    quantize_all(values, count, block_size, nf4_codes, codes, magnitudes);
  } else {
    quantize_all(values, count, block_size, fp4_codes, codes, magnitudes);
  }
}

void dequantize_bnb4(const std::uint8_t* codes, std::int64_t count, Bnb4Type type, std::int64_t block_size,
                     const float* magnitudes, float* out) {
  const std::array<float, 16>& values = bnb4_values(type);
  for (std::int64_t i = 0; i < count; ++i) {
    const int code = i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 0xf;
    out[i] = values[static_cast<std::size_t>(code)] * magnitudes[i / block_size];
  }
}

}  // namespace onnxport
