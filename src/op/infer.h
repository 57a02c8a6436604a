/// Shape and dtype inference, one function per op; decomposition of composites. The table is ops.def.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/graph.h"

namespace onnxport::op::detail {

using Types = std::vector<TensorType>;

#define ONNXPORT_UNARY(name)
#define ONNXPORT_BINARY(name)
#define ONNXPORT_COMPARE(name)
#define ONNXPORT_PRIMITIVE(name) Types infer_##name(const Node& node);
#define ONNXPORT_COMPOSITE(name)        \
  Types infer_##name(const Node& node); \
  std::vector<Value> decompose_##name(const Node& node);
#include "onnxport/ops.def"

/// Throws ExportError(shape): `linear at encoder.layer.0.dense: <what>`.
template <class... Args>
[[noreturn]] void reject(const Node& node, fmt::format_string<Args...> what, Args&&... args) {
  throw ExportError(ErrorCode::shape,
                    fmt::format("{}{}{}: {}", to_string(node.op), node.path.empty() ? "" : " at ", node.path,
                                fmt::format(what, std::forward<Args>(args)...)));
}

/// Operand `index`, which must be present.
inline const TensorType& operand(const Node& node, std::size_t index) {
  if (index >= node.inputs.size() || !node.inputs[index]) reject(node, "operand {} is missing", index);
  return node.inputs[index].type();
}

/// As in Python, a negative axis counts from the end. Inference rejects axes that are out of range.
inline std::int64_t from_front(std::int64_t axis, std::int64_t rank) { return axis < 0 ? axis + rank : axis; }

/// The attribute `axis` as an index into a shape of this rank.
inline std::size_t normalized_axis(const Node& node, std::int64_t axis, std::size_t rank) {
  const std::int64_t extent = static_cast<std::int64_t>(rank);
  if (axis < -extent || axis >= extent) reject(node, "axis {} is out of range for rank {}", axis, rank);
  return static_cast<std::size_t>(from_front(axis, extent));
}

inline void require_float(const Node& node, const TensorType& type) {
  if (!is_float(type.dtype)) reject(node, "got {}, expected a float tensor", to_string(type));
}
inline void require_integer(const Node& node, const TensorType& type) {
  if (!is_integer(type.dtype)) reject(node, "got {}, expected an integer tensor", to_string(type));
}
inline void require_number(const Node& node, const TensorType& type) {
  if (type.dtype == DType::boolean) reject(node, "got {}, expected numbers", to_string(type));
}
inline void require_extents(const Node& node, const Shape& shape) {
  for (const Dim& dim : shape) {
    if (dim.is_constant() && *dim.constant() < 0) reject(node, "{} has a negative extent", to_string(shape));
  }
}
inline void require_same_dtype(const Node& node, const TensorType& a, const TensorType& b) {
  if (a.dtype != b.dtype) reject(node, "operands of different dtype: {} and {}", to_string(a), to_string(b));
}

}  // namespace onnxport::op::detail
