/// Permutations of axes, for passes that move them.
#pragma once

#include <cstdint>
#include <vector>

#include "onnxport/op.h"
#include "onnxport/ops.h"

namespace onnxport::pass {

using Axes = std::vector<std::int64_t>;

/// The axes of a permute.
inline const Axes& axes_of(const Node& permute) { return permute.attrs.get<Axes>("axes"); }
inline const Axes& axes_of(const Value& permute) { return axes_of(*permute.node()); }

inline Axes inverse(const Axes& axes) {
  Axes result(axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i)
    result[static_cast<std::size_t>(axes[i])] = static_cast<std::int64_t>(i);
  return result;
}

/// op::permute() that merges two successive permutations into one, or none if they cancel.
inline Value permuted(Value x, Axes axes) {
  if (x.node()->op == Op::permute) {
    const Axes& inner = axes_of(x);
    for (std::int64_t& axis : axes) axis = inner[static_cast<std::size_t>(axis)];
    x = x.node()->inputs[0];
  }
  bool stays = true;
  for (std::size_t i = 0; i < axes.size(); ++i) stays = stays && axes[i] == static_cast<std::int64_t>(i);
  return stays ? x : op::permute(x, std::move(axes));
}

}  // namespace onnxport::pass
