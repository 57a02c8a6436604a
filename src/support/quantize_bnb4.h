/// NF4 and FP4, the 4-bit floats of bitsandbytes, in blocks that share the largest magnitude, as MatMulBnb4
/// of ONNX Runtime reads them.
#pragma once

#include <array>
#include <cstdint>

namespace onnxport {

enum class Bnb4Type { fp4, nf4 };  ///< the numbers of the attribute quant_type

/// The values of the 16 codes.
const std::array<float, 16>& bnb4_values(Bnb4Type type);

/// Quantizes `count` finite values: blocks of `block_size` (a multiple of 16), of which the last one may be
/// shorter. `codes`: (count + 1) / 2 bytes, two codes in each, the high half first. `magnitudes`: the largest
/// one of each block. If `count` is odd, the last code is that of 0.
void quantize_bnb4(const float* values, std::int64_t count, Bnb4Type type, std::int64_t block_size,
                   std::uint8_t* codes, float* magnitudes);

/// The values of `count` codes: table value * magnitude, rounded once.
void dequantize_bnb4(const std::uint8_t* codes, std::int64_t count, Bnb4Type type, std::int64_t block_size,
                     const float* magnitudes, float* out);

}  // namespace onnxport
