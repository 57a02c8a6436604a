#include "reference/call.h"

#include <algorithm>

#include "support/parallel.h"
#include "support/text.h"

namespace onnxport::reference {

Extents broadcast_extents(const Call& call, std::span<const Extents> shapes) {
  Extents result;
  for (const Extents& shape : shapes) {
    if (shape.size() > result.size()) result.insert(result.begin(), shape.size() - result.size(), 1);
    const std::size_t lead = result.size() - shape.size();
    for (std::size_t i = 0; i < shape.size(); ++i) {
      std::int64_t& extent = result[lead + i];
      if (extent == 1) extent = shape[i];
      if (shape[i] != extent && shape[i] != 1) {
        reject(call.node, "{} does not broadcast with {}", text::shape_text(shape), text::shape_text(result));
      }
    }
  }
  return result;
}

void for_each_part(std::int64_t count, double work,
                   const std::function<void(std::int64_t, std::int64_t)>& f) {
  constexpr double kWorth = 1e6;  // about ten times what starting a thread costs
  const std::int64_t parts = work < kWorth ? 1 : std::min<std::int64_t>(count, available_threads());
  if (parts <= 1) return f(0, count);
  parallel_for(static_cast<std::size_t>(parts), [&](std::size_t part) {
    const std::int64_t index = static_cast<std::int64_t>(part);
    f(count * index / parts, count * (index + 1) / parts);
  });
}

}  // namespace onnxport::reference
