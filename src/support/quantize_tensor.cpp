#include "support/quantize_tensor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include "support/vectors.h"

namespace onnxport {
namespace {

using vectors::Floats;
using vectors::Ints;
using vectors::splat;

constexpr std::int64_t kStep = 16;

/// Codes from `low` to `high`.
struct CodeRange {
  std::int32_t low, high;
};

CodeRange range_of(DType dtype) { return dtype == DType::i8 ? CodeRange{-128, 127} : CodeRange{0, 255}; }

CodeRange range_of(const TensorParameters& parameters) {
  const bool is_signed = parameters.dtype == DType::i8;
  if (parameters.reduce_range) return is_signed ? CodeRange{-64, 64} : CodeRange{0, 127};
  return is_signed && parameters.symmetric ? CodeRange{-127, 127} : range_of(parameters.dtype);
}

/// The scales of four successive values.
struct FourScales {
  Floats scale;
  Ints zero_point;
};

FourScales gather(const LinearScale* scales) {
  return {Floats{scales[0].scale, scales[1].scale, scales[2].scale, scales[3].scale},
          Ints{scales[0].zero_point, scales[1].zero_point, scales[2].zero_point, scales[3].zero_point}};
}

/// Clipping at integers before rounding to one is the same as after it.
Ints encode(Floats values, const FourScales& by, CodeRange range) {
  const Floats low = __builtin_convertvector(splat(range.low) - by.zero_point, Floats);
  const Floats high = __builtin_convertvector(splat(range.high) - by.zero_point, Floats);
  const Floats code = vectors::min(vectors::max(values / by.scale, low), high);
  return __builtin_convertvector(vectors::round_to_even(code), Ints) + by.zero_point;
}

/// `scales_at(i)`: the scales of values [i, i + 4).
template <class ScalesAt>
void encode_all(const float* values, std::int64_t count, CodeRange range, ScalesAt scales_at,
                std::uint8_t* codes) {
  const auto four = [&](std::int64_t i) {
    return encode(vectors::load<Floats>(values + i), scales_at(i), range);
  };
  for (std::int64_t i = 0; i < count; i += kStep) {
    vectors::store(vectors::low_bytes(four(i), four(i + 4), four(i + 8), four(i + 12)), codes + i);
  }
}

}  // namespace

void extend_range(const float* values, std::int64_t count, ValueRange& range) {
  Floats low = splat(range.low), high = splat(range.high);
  const std::int64_t whole = count / vectors::kLanes * vectors::kLanes;
  for (std::int64_t i = 0; i < whole; i += vectors::kLanes) {
    const auto value = vectors::load<Floats>(values + i);
    low = vectors::min(value, low);
    high = vectors::max(value, high);
  }
  range = {vectors::lowest(low), vectors::highest(high)};
  for (std::int64_t i = whole; i < count; ++i) {
    range = {std::min(range.low, values[i]), std::max(range.high, values[i])};
  }
}

void extend_ranges(const float* values, std::int64_t count, ValueRange* ranges) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float value = values[i];
    ranges[i].low = value < ranges[i].low ? value : ranges[i].low;
    ranges[i].high = value > ranges[i].high ? value : ranges[i].high;
  }
}

LinearScale choose_scale(const ValueRange& range, const TensorParameters& parameters) {
  const CodeRange codes = range_of(parameters);
  double low = range.low, high = range.high;
  if (parameters.symmetric) {
    high = std::max(-low, high);
    low = -high;
  }
  const double scale = (high - low) / (codes.high - codes.low);
  if (scale < static_cast<double>(std::numeric_limits<float>::min())) return {};
  const double zero_point = parameters.symmetric ? (codes.low + codes.high) / 2.0 : codes.low - low / scale;
  return {static_cast<float>(scale), static_cast<std::int32_t>(std::nearbyint(zero_point))};
}

void encode_linear(const float* values, std::int64_t count, const LinearScale& scale, DType dtype,
                   std::uint8_t* codes) {
  const FourScales by{splat(scale.scale), splat(scale.zero_point)};
  const auto same = [&](std::int64_t) -> const FourScales& { return by; };
  const std::int64_t whole = count / kStep * kStep;
  encode_all(values, whole, range_of(dtype), same, codes);
  if (whole == count) return;
  std::array<float, kStep> padded{};
  std::array<std::uint8_t, kStep> last;
  std::copy(values + whole, values + count, padded.begin());
  encode_all(padded.data(), kStep, range_of(dtype), same, last.data());
  std::copy_n(last.begin(), count - whole, codes + whole);
}

void encode_linear(const float* values, std::int64_t count, const LinearScale* scales, DType dtype,
                   std::uint8_t* codes) {
  const std::int64_t whole = count / kStep * kStep;
  encode_all(values, whole, range_of(dtype), [&](std::int64_t i) { return gather(scales + i); }, codes);
  for (std::int64_t i = whole; i < count; ++i) encode_linear(values + i, 1, scales[i], dtype, codes + i);
}

}  // namespace onnxport
