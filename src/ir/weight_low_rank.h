/// Sums of a matrix and the product of two thin ones, tile by tile.
#pragma once

#include "onnxport/weight.h"

namespace onnxport {

/// `base` [R, C] plus `scale` times the product of `left` [R, r] and `right` [r, C], as float32. All three
/// are cast to float32. An element of the product is the sum of its r exact products in double, in order; the
/// sum with the element of `base` is rounded once.
///
/// Memory: a range of elements is computed from tiles of both factors, whatever their size. Only a row of r
/// elements must fit.
///
/// Throws ExportError(shape) for shapes that do not fit, and for weights that are not floats.
Weight add_low_rank(const Weight& base, const Weight& left, const Weight& right, double scale);

}  // namespace onnxport
