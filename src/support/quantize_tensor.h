/// Quantization to 8-bit integers with one scale for a tensor or for each of its channels, as the dynamic
/// quantization of ONNX Runtime does it (quant_utils.py of the onnxruntime 1.31.1 package), bit for bit.
///
/// All values must be finite; see count_non_finite() in support/quantize_blocks.h.
#pragma once

#include <cstdint>
#include <optional>

#include "onnxport/dtype.h"

namespace onnxport {

struct TensorParameters {
  DType dtype = DType::i8;             ///< of the codes: i8 or u8
  bool symmetric = true;               ///< the range is as wide below 0 as above
  bool reduce_range = false;           ///< i8: -64 to 64, u8: 0 to 127
  std::optional<std::int64_t> axis{};  ///< one scale and zero point for each index of this axis
};

/// The smallest and the largest of values and 0.
struct ValueRange {
  float low = 0, high = 0;
};

/// What codes mean: value = (code - zero_point) * scale.
struct alignas(8) LinearScale {  // so aligned, clang too reads and writes one in an atomic step
  float scale = 1;
  std::int32_t zero_point = 0;
};

/// Includes `count` values.
void extend_range(const float* values, std::int64_t count, ValueRange& range);
/// Includes value i in ranges[i].
void extend_ranges(const float* values, std::int64_t count, ValueRange* ranges);

/// Computed in double; the scale is then rounded to float32. A range below the smallest normal float32 gets
/// scale 1 and zero point 0.
LinearScale choose_scale(const ValueRange& range, const TensorParameters& parameters);

/// The codes of `count` values: rounded to even, clipped at the range of the dtype (i8 or u8).
void encode_linear(const float* values, std::int64_t count, const LinearScale& scale, DType dtype,
                   std::uint8_t* codes);
/// The same, with scales[i] for value i.
void encode_linear(const float* values, std::int64_t count, const LinearScale* scales, DType dtype,
                   std::uint8_t* codes);

}  // namespace onnxport
