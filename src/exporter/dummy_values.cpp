#include "exporter/dummy_values.h"

#include <fmt/format.h>

#include <limits>

#include "onnxport/error.h"

namespace onnxport::exporter {

std::int64_t checked_count(std::string_view name, const std::vector<std::int64_t>& shape) {
  constexpr std::int64_t most = std::int64_t{1} << 30;
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    if (!__builtin_mul_overflow(count, extent, &count) && extent >= 0) continue;
    count = std::numeric_limits<std::int64_t>::max();
    break;
  }
  if (count <= most) return count;
  throw ExportError(
      ErrorCode::invalid_argument,
      fmt::format("dummy input '{}' would have {} elements, expected at most {}; choose smaller sizes", name,
                  count, most));
}

std::vector<std::int64_t> extents(const TensorType& type) { return static_shape(type.shape).value(); }

Tensor from_ints(std::string_view name, const TensorType& type,
                 const std::function<std::int64_t(std::int64_t)>& value) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(checked_count(name, extents(type))));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = value(static_cast<std::int64_t>(i));
  return Tensor::from_ints(type.dtype, extents(type), values);
}

Tensor ones(std::string_view name, const TensorType& type) {
  return from_ints(name, type, [](std::int64_t) { return 1; });
}

}  // namespace onnxport::exporter
