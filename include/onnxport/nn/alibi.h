/// Attention with linear biases (Press et al. 2022).
#pragma once

#include <cstdint>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/decoder_pass.h"

namespace onnxport::nn {

/// The slope of each head: a geometric sequence, and for heads beyond a power of two every other element of
/// the next one.
ONNXPORT_API std::vector<double> alibi_slopes(std::int64_t heads);

/// slope * position of each key, where positions count only real tokens: float [B, heads, 1, P + S].
ONNXPORT_API Value alibi(const DecoderPass& pass, std::int64_t heads);

/// The same with slopes, positions and products rounded to bfloat16 one after the other, in the float dtype
/// of the graph. Exact without bfloat16 at run time: such a position is m * 2^e with m <= 256, and rounding
/// commutes with the power of two, so that a table over m gives the product.
ONNXPORT_API Value alibi_bfloat16(const DecoderPass& pass, std::int64_t heads);

}  // namespace onnxport::nn
