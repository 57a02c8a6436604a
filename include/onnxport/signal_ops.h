/// Semantic ops for signals over time, such as sound.
#pragma once

#include <cstdint>

#include "onnxport/graph.h"
#include "onnxport/op.h"

namespace onnxport::op {

/// What padding repeats.
enum class PadMode : std::uint8_t {
  reflect,  ///< the elements next to the outermost one, in mirror order; the axis must be longer than that
  edge,     ///< the outermost element (PyTorch: "replicate")
};
/// Like pad(), but with elements of x instead of one value. (torch.nn.functional.pad)
ONNXPORT_API Value pad(Value x, Shape before, Shape after, PadMode mode);

/// x [N, I, L], weight [I, O / groups, K], bias [O] or absent -> [N, O, L'] with
/// L' = (L - 1) * stride + dilation * (K - 1) + 1 - padding. (torch.nn.functional.conv_transpose1d)
ONNXPORT_API Value conv_transpose1d(Value x, Value weight, Value bias = {}, const ConvOptions& options = {});

}  // namespace onnxport::op
