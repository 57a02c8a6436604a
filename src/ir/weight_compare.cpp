#include "ir/weight_compare.h"

#include <algorithm>
#include <cstring>

#include "ir/weight_boxes.h"

namespace onnxport {

bool same_elements(const Weight& a, const Weight& b) {
  if (a.dtype() != b.dtype() || a.shape() != b.shape()) return false;
  if (a.fingerprint() == b.fingerprint()) return true;
  const auto size = static_cast<std::int64_t>(size_of(a.dtype()));
  const std::int64_t step = detail::tile_elements(size, a.numel());
  const auto first = detail::make_buffer(step * size), second = detail::make_buffer(step * size);
  for (std::int64_t done = 0; done < a.numel(); done += step) {
    const std::int64_t n = std::min(step, a.numel() - done);
    a.read(done, n, first.get());
    b.read(done, n, second.get());
    if (std::memcmp(first.get(), second.get(), static_cast<std::size_t>(n * size)) != 0) return false;
  }
  return true;
}

}  // namespace onnxport
