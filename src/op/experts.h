/// Activations of experts.
#pragma once

#include <optional>

#include "onnxport/graph.h"

namespace onnxport::op::detail {

/// Of a node: the limit L of "clamped_silu", silu(gate) * up of gate <= L and |up| <= L. Nothing for other
/// activations.
std::optional<double> clamped_silu_limit(const Attrs& attrs);

}  // namespace onnxport::op::detail
