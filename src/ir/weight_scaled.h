/// Values of weights that are stored with scales in 8 bits or less, tile by tile.
#pragma once

#include <cstdint>
#include <vector>

#include "onnxport/weight.h"
#include "support/float8.h"

namespace onnxport {

/// The values of 8-bit floats. `codes`: uint8. The result is float32 of the same shape, and exact.
Weight from_float8(const Weight& codes, Float8 format);

/// The shape of the scales of a tensor [..., R, C] in blocks of `rows` x `columns`, those at the ends
/// smaller: [..., ceil(R / rows), ceil(C / columns)].
std::vector<std::int64_t> shape_of_scales(std::vector<std::int64_t> values, std::int64_t rows,
                                          std::int64_t columns);

/// `values` times the scale of their block; `scales` has shape_of_scales(). Scales are cast to float32, and
/// the products computed in float32. All NaNs become the same one. Throws ExportError(shape) for shapes that
/// do not fit, and for values that are not float32.
Weight scale_blocks(const Weight& values, const Weight& scales, std::int64_t rows, std::int64_t columns);

/// The values of MXFP4 blocks as computed by the `transformers` library (convert_moe_packed_tensors, without
/// its transposition). `blocks`: uint8 [..., groups, 16], two 4-bit floats in each byte, the lower half
/// first; `scales`: uint8 [..., groups], the exponents of two, biased by 127, of 32 values each. The result
/// is bfloat16 [..., 32 * groups], and exact up to overflow to infinity. A scale of 255, which the
/// specification calls NaN, is 2^128 there, and here. Throws ExportError(shape) for shapes that do not fit.
/// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/integrations/mxfp4.py
Weight from_mxfp4(const Weight& blocks, const Weight& scales);

}  // namespace onnxport
