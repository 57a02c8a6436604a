// Activations as 8-bit integers.
#include <algorithm>
#include <cmath>

#include "reference/call.h"

namespace onnxport::reference {

// As specified for DynamicQuantizeLinear, in float32: two values that round differently there would differ
// here, too.
Results interpret_dynamic_quantize(const Call& call) {
  HostTensor out = call.input(0);
  float low = 0, high = 0;
  for (const double value : out.reals) {
    low = std::min(low, static_cast<float>(value));
    high = std::max(high, static_cast<float>(value));
  }
  constexpr float kLargest = 255;
  const float scale = low == high ? 1.0F : (high - low) / kLargest;
  const float zero_point = std::clamp(std::nearbyint(-low / scale), 0.0F, kLargest);
  for (double& value : out.reals) {
    const float code = std::nearbyint(static_cast<float>(value) / scale) + zero_point;
    value = (static_cast<double>(std::clamp(code, 0.0F, kLargest)) - zero_point) * scale;
  }
  return out;
}

}  // namespace onnxport::reference
