/// Quantized weights: codes, scales and zero points as lazy weights that share one scan of the values.
///
/// Any range of them can be read, in any order and from any thread, with the same bytes. Values are read as
/// float32, whatever computes them. All functions throw ExportError(shape) for weights that do not fit, and
/// ExportError(invalid_argument) for parameters that no kernel has. Reading throws
/// ExportError(bad_checkpoint) if values are NaN or infinite, with the same message for all ranges.
#pragma once

#include <cstdint>

#include "onnxport/weight.h"
#include "support/quantize_blocks.h"
#include "support/quantize_bnb4.h"
#include "support/quantize_tensor.h"

namespace onnxport {

/// A matrix [N, K] as MatMulNBits reads it, with blocks along K.
struct QuantizedBlocks {
  Weight codes;        ///< uint8 [N, ceil(K / block_size), block_size * bits / 8]
  Weight scales;       ///< float32 [N, ceil(K / block_size)]
  Weight zero_points;  ///< uint8 [N, ceil(blocks * bits / 8)]; empty without has_zero_points()
};

/// `matrix`: floats [N, K]. Named <name>_Q4 (_Q2, _Q8), <name>_scales, <name>_zero_points.
///
/// The scan keeps a few tiles per thread. If a thread reads codes, and then scales and zero points of the
/// same rows, up to a million values, it computes them once.
QuantizedBlocks quantize_blocks(const Weight& matrix, const BlockParameters& parameters);

/// The values of the codes, float32 [N, columns]: (code - zero point) * scale, rounded once.
Weight dequantize_blocks(const QuantizedBlocks& blocks, const BlockParameters& parameters,
                         std::int64_t columns);

/// A weight as MatMulInteger, ConvInteger and DequantizeLinear read it.
struct QuantizedTensor {
  Weight codes;       ///< i8 or u8, in the shape of the weight
  Weight scale;       ///< float32 [], or [channels] if there is an axis
  Weight zero_point;  ///< of the dtype of the codes, in the shape of `scale`
};

/// `weight`: floats of any shape. Named <name>_quantized, <name>_scale, <name>_zero_point.
///
/// If the values of a channel lie together and are few enough for a tile, its scale and codes are computed in
/// one pass. Otherwise, the first read scans the whole weight for its ranges, and threads that come in the
/// meantime share the work. Of a transposed matrix, the codes are transposed.
QuantizedTensor quantize_tensor(const Weight& weight, const TensorParameters& parameters);

/// A matrix [N, K] as MatMulBnb4 reads it, in blocks of its N * K values.
struct QuantizedBnb4 {
  Weight codes;   ///< uint8 [ceil(N * K / 2)]
  Weight absmax;  ///< float32 [ceil(N * K / block_size)]
};

/// `matrix`: floats [N, K]. Named <name>_Bnb4 and <name>_absmax. `block_size`: a power of two from 16 to 256.
QuantizedBnb4 quantize_bnb4(const Weight& matrix, bool nf4, std::int64_t block_size);

}  // namespace onnxport
