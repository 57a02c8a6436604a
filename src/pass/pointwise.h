/// 1 x 1 convolutions: linear layers on the channels of an image.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "ir/weight_coded.h"
#include "onnxport/op.h"
#include "onnxport/ops.h"

namespace onnxport::pass {

inline bool is_weight(const Value& value) { return value && value.node()->op == Op::weight; }
/// Whether it is a weight with codes: arithmetic on it would lose them.
inline bool is_coded(const Value& value) { return is_weight(value) && codes_of(value.node()->weight); }

/// A convolution with a kernel of 1, stride 1, no padding and one group, whose parameters are weights.
inline bool is_pointwise(const Node& node) {
  if (node.op != Op::conv || !is_weight(node.inputs[1]) || is_coded(node.inputs[1]) ||
      (node.inputs[2] && !is_weight(node.inputs[2]))) {
    return false;
  }
  const auto all = [&](const char* name, std::int64_t expected) {
    const auto& values = node.attrs.get<std::vector<std::int64_t>>(name);
    return std::all_of(values.begin(), values.end(), [&](std::int64_t value) { return value == expected; });
  };
  const Shape& kernel = node.inputs[1].shape();
  return all("stride", 1) && all("padding", 0) && node.attrs.integer("groups") == 1 &&
         std::all_of(kernel.begin() + 2, kernel.end(), [](const Dim& extent) { return extent == Dim(1); });
}

/// Its kernel as a matrix [out, in].
inline Weight matrix_of(const Node& pointwise) {
  const Weight& kernel = pointwise.inputs[1].node()->weight;
  return kernel.reshape({kernel.shape()[0], kernel.shape()[1]});
}

/// Applies a linear layer with weight [out, in] and an optional bias [out] to the channels of an image [B,
/// in, H, W].
inline Value pointwise(Value image, const Weight& weight, Value bias) {
  const Weight kernel = weight.reshape({weight.shape()[0], weight.shape()[1], 1, 1});
  return op::conv2d(image, image.graph().weight_as_is(kernel), bias);
}

}  // namespace onnxport::pass
