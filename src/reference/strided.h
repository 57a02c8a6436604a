/// Walks over dense row-major tensors: broadcasting, permuting, and lanes along an axis.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <span>
#include <vector>

namespace onnxport::reference {

using Extents = std::vector<std::int64_t>;

inline std::int64_t product(std::span<const std::int64_t> extents) {
  return std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<>());
}

/// Elements between neighbours along each axis of a row-major tensor.
inline Extents row_major_strides(const Extents& shape) {
  Extents strides(shape.size(), 1);
  for (std::size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

/// Strides that read a tensor of shape `from` as one of shape `to`, to which it broadcasts.
inline Extents broadcast_strides(const Extents& from, const Extents& to) {
  const Extents own = row_major_strides(from);
  Extents strides(to.size(), 0);
  const std::size_t lead = to.size() - from.size();
  for (std::size_t i = 0; i < from.size(); ++i) strides[lead + i] = from[i] == 1 ? 0 : own[i];
  return strides;
}

/// Visits `shape` in row-major order as runs along one axis, for N tensors at once: `visit(at, count, step)`
/// with the offset of the run's first element and the distance of its elements in each tensor.
template <std::size_t N, class Visit>
void for_each_run(const Extents& shape, const std::array<Extents, N>& strides, Visit visit) {
  using Offsets = std::array<std::int64_t, N>;
  struct Axis {
    std::int64_t extent;
    Offsets stride;
  };
  if (product(shape) == 0) return;

  // Merges neighbouring axes if every tensor has even steps there. Most walks end up with a single long run.
  std::vector<Axis> axes;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == 1) continue;
    Axis axis{shape[i], {}};
    for (std::size_t n = 0; n < N; ++n) axis.stride[n] = strides[n][i];
    bool even = !axes.empty();
    for (std::size_t n = 0; even && n < N; ++n) even = axes.back().stride[n] == axis.stride[n] * axis.extent;
    if (even) {
      axes.back() = {axes.back().extent * axis.extent, axis.stride};
    } else {
      axes.push_back(axis);
    }
  }
  Axis run{1, {}};
  if (!axes.empty()) {
    run = axes.back();
    axes.pop_back();
  }

  Offsets at{};
  std::vector<std::int64_t> index(axes.size(), 0);
  const auto advance = [&] {
    for (std::size_t i = axes.size(); i-- > 0;) {
      const bool more = ++index[i] < axes[i].extent;
      const std::int64_t steps = more ? 1 : 1 - axes[i].extent;
      for (std::size_t n = 0; n < N; ++n) at[n] += steps * axes[i].stride[n];
      if (more) return true;
      index[i] = 0;
    }
    return false;
  };
  do visit(at, run.extent, run.stride);
  while (advance());
}

/// A shape seen from one of its axes: [outer, extent, inner].
struct AxisView {
  std::int64_t outer, extent, inner;
  AxisView(const Extents& shape, std::size_t axis)
      : outer(product(std::span(shape).first(axis))),
        extent(shape[axis]),
        inner(product(std::span(shape).subspan(axis + 1))) {}
};

/// The elements along an axis, at one position of the other axes.
template <class T>
struct Lane {
  T* data;
  std::int64_t size, stride;
  T& operator[](std::int64_t i) const { return data[i * stride]; }
};

}  // namespace onnxport::reference
