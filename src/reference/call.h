/// One function per op of ops.def, and its argument.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "op/infer.h"
#include "reference/interpreter.h"
#include "reference/strided.h"

namespace onnxport::reference {

using op::detail::reject;

/// One node to run on one case.
struct Call {
  const Node& node;
  const DimBindings& bindings;
  /// The tensor of a value. A weight is loaded on first use.
  const std::function<const HostTensor&(Value)>& tensor_of;
  /// The same to change: not a copy if this is its last use. Then input() must not ask for it again.
  const std::function<HostTensor(Value)>& taken;
  const OnDecision& on_decision;

  bool has(std::size_t i) const { return i < node.inputs.size() && node.inputs[i]; }
  const HostTensor& input(std::size_t i) const { return tensor_of(node.inputs.at(i)); }
  HostTensor take(std::size_t i) const { return taken(node.inputs.at(i)); }
  /// Dtype of the first result, as inferred.
  DType dtype() const { return node.outputs[0].dtype; }
  /// The attribute `axis`, for a tensor of this shape.
  std::size_t axis(const Extents& shape) const {
    return op::detail::normalized_axis(node, node.attrs.integer("axis"), shape.size());
  }
  std::int64_t evaluate(const Dim& dim) const { return dim.evaluate(bindings); }
  Extents evaluate(const Shape& shape) const {
    Extents extents;
    for (const Dim& dim : shape) {
      extents.push_back(evaluate(dim));
      if (extents.back() < 0) reject(node, "extent {} is {}", dim.str(), extents.back());
    }
    return extents;
  }
};

/// The results of a node. Takes a single tensor without copying it, unlike a braced list.
struct Results : std::vector<HostTensor> {
  Results() = default;
  Results(HostTensor only) { push_back(std::move(only)); }  // NOLINT: a tensor is the results of most ops
};

#define ONNXPORT_PRIMITIVE(name) Results interpret_##name(const Call& call);
#include "onnxport/ops.def"

/// Zeros.
inline HostTensor make_tensor(DType dtype, Extents shape) {
  HostTensor tensor{dtype, std::move(shape), {}, {}};
  const std::size_t count = static_cast<std::size_t>(product(tensor.shape));
  if (is_float(dtype)) {
    tensor.reals.resize(count);
  } else {
    tensor.integers.resize(count);
  }
  return tensor;
}

/// The elements of a tensor whose kind the caller knows.
template <class T, class Tensor>
auto& elements(Tensor& tensor) {
  if constexpr (std::is_same_v<T, double>) {
    return tensor.reals;
  } else {
    return tensor.integers;
  }
}

/// f(double()) for a float dtype, f(std::int64_t()) for the others.
template <class F>
void with_kind(DType dtype, F f) {
  if (is_float(dtype)) return f(double());
  f(std::int64_t());
}

inline bool is_nan(double value) { return std::isnan(value); }
inline bool is_nan(std::int64_t) { return false; }

/// An index as in ONNX and Python: negative ones count from the end. Throws ExportError(shape) if out of
/// range.
inline std::int64_t checked_index(const Call& call, std::int64_t index, std::int64_t extent) {
  if (index < -extent || index >= extent) {
    reject(call.node, "index {} is out of range for a table of {}", index, extent);
  }
  return index < 0 ? index + extent : index;
}

/// The shape to which all these broadcast. Throws ExportError(shape) if they do not fit.
Extents broadcast_extents(const Call& call, std::span<const Extents> shapes);

/// Softmax of a lane; `to` may be `from`.
void softmax(Lane<const double> from, Lane<double> to);

/// Calls f(begin, end) for parts of [0, count), in parallel if `work`, the number of scalar operations,
/// justifies starting threads.
void for_each_part(std::int64_t count, double work, const std::function<void(std::int64_t, std::int64_t)>& f);

/// Scalar operations that an exp or a division costs, roughly.
inline constexpr double kTranscendental = 20;

}  // namespace onnxport::reference
