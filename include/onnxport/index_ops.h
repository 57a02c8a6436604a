/// Semantic ops that take elements at places which the data decide.
#pragma once

#include <cstdint>
#include <string_view>

#include "onnxport/export_macro.h"
#include "onnxport/graph.h"

namespace onnxport::op {

/// The places where mask, bool [N], is true, in order: int64 [symbol]. It tells the value of `symbol`, the
/// number of those places, which no input has. (torch.nonzero)
ONNXPORT_API Value nonzero(Value mask, const Dim& symbol);

/// x[-count:] of an axis for a scalar int64 count, or all of it for 0. `symbol` becomes its extent.
ONNXPORT_API Value tail(Value x, std::int64_t axis, Value count, const Dim& symbol);
/// Samples x [N, C, H, W] at places: grid [N, H', W', 2] -> [N, C, H', W'], of the dtype of x. A place is a
/// column and a row; -1 and 1 are the outer edges of the image, or with `align_corners` the centres of its
/// outermost elements. `mode`: "bilinear" or "nearest" (ties to even). `padding_mode` tells what lies outside
/// of the image: "zeros", or "border", the nearest element. The grid may have another float dtype: float16 is
/// too coarse for places in large images. (torch.nn.functional.grid_sample)
ONNXPORT_API Value grid_sample(Value x, Value grid, std::string_view mode = "bilinear",
                               std::string_view padding_mode = "zeros", bool align_corners = false);

}  // namespace onnxport::op
