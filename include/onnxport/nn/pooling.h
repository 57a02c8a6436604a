/// Means over parts of an image.
#pragma once

#include <cstdint>

#include "onnxport/graph.h"
#include "onnxport/nn/conv.h"

namespace onnxport::nn {

struct AveragePoolParameters {
  KernelSize kernel = {};
  KernelSize stride = {};
  KernelSize padding = {0, 0};  ///< zeros on each side
  /// Whether zeros around the image count as elements.
  bool count_padding = true;
};

/// The mean of the pixels under each position of the kernel, rounding the number of positions down: [B, C, H,
/// W] -> [B, C, H', W']. (torch.nn.functional.avg_pool2d without ceil_mode)
ONNXPORT_API Value average_pool2d(Value x, const AveragePoolParameters& p);

/// The matrix [to, from], float32, whose row i has the mean of the elements floor(i * from / to) to
/// ceil((i + 1) * from / to) of an axis.
ONNXPORT_API Value averaging_matrix(Graph& graph, std::int64_t to, const Dim& from);

/// Means of parts that cover an image, as many as `rows` by `columns`: [B, C, H, W] -> [B, C, rows, columns].
/// (torch.nn.functional.adaptive_avg_pool2d)
ONNXPORT_API Value adaptive_average_pool2d(Value x, std::int64_t rows, std::int64_t columns);

}  // namespace onnxport::nn
