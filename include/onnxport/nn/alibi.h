/// Attention with linear biases (Press et al. 2022).
#pragma once

#include <cstdint>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/decoder_pass.h"

namespace onnxport::nn {

/// The slope of each head: a geometric sequence. If the number of heads is not a power of two, the remaining
/// heads get every other element of the next sequence.
ONNXPORT_API std::vector<double> alibi_slopes(std::int64_t heads);

/// slope * position of each key, float [B, heads, 1, P + S]. Positions count only real tokens.
ONNXPORT_API Value alibi(const DecoderPass& pass, std::int64_t heads);

/// The same, but slopes, positions and products are each rounded to bfloat16; the result has the float dtype
/// of the graph. This is exact without bfloat16 at run time: a rounded position is m * 2^e with m <= 256, and
/// rounding commutes with powers of two, so a table over m gives the product.
ONNXPORT_API Value alibi_bfloat16(const DecoderPass& pass, std::int64_t heads);

}  // namespace onnxport::nn
