// Activations of layers with quantized weights: as 8-bit integers, and in another order.
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

Results interpret_index_select(const Call& call) {
  const HostTensor& x = call.input(0);
  const std::vector<std::int64_t>& indices = call.input(1).integers;
  const std::int64_t width = x.shape.back();
  Extents shape = x.shape;
  shape.back() = static_cast<std::int64_t>(indices.size());
  HostTensor out = make_tensor(x.dtype, std::move(shape));
  with_kind(x.dtype, [&]<class T>(T) {
    const auto& from = elements<T>(x);
    auto& to = elements<T>(out);
    for (std::size_t i = 0, row = 0; i < to.size(); row += static_cast<std::size_t>(width)) {
      for (const std::int64_t index : indices)
        to[i++] = from[row + static_cast<std::size_t>(checked_index(call, index, width))];
    }
  });
  return out;
}

}  // namespace onnxport::reference
