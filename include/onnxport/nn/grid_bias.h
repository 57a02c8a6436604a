/// Biases of attention between the patches of an image.
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// A learned bias of the scores for each distance between two patches of a grid, in both directions, and for
/// pairs with the class token before them. It is resampled (bilinear) for other grids. Keys:
/// relative_position_bias_table [(2 * height - 1) * (2 * width - 1) + 3, heads], where the last three rows
/// are for pairs with the first token. (Bao et al. 2022; transformers' BeitRelativePositionBias, which uses
/// the table's height as its width)
class ONNXPORT_API GridBias {
 public:
  GridBias(const Scope& s, KernelSize grid, std::int64_t heads);
  /// For a grid of this size -> [1, heads, 1 + patches, 1 + patches]
  Value operator()(Graph& graph, const Dim& rows, const Dim& columns) const;

 private:
  GridBias(std::string path, const Weight& table, KernelSize grid);
  std::string path_;
  GridTable by_distance_;
  Weight with_first_;
};

}  // namespace onnxport::nn
