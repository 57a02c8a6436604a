/// Activations of experts.
#pragma once

#include <optional>
#include <string_view>

namespace onnxport::op::detail {

/// The limit of "clamped_silu 10": silu(gate) * up of gate <= 10 and |up| <= 10. Nothing for other
/// activations, and for a limit that is no positive number.
std::optional<double> clamped_silu_limit(std::string_view activation);

}  // namespace onnxport::op::detail
