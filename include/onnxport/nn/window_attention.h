/// Attention within the windows of a grid of tokens. (Liu et al. 2021, Swin Transformer)
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/token_grid.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

struct WindowParameters {
  std::int64_t window = 7;  ///< side of a window, in tokens
  Dim shift = 0;            ///< offset of the windows from the top left corner; less than a window
  /// Whether a grid may be smaller than a window. If not, a smaller grid fails at export if its size is
  /// known, else at run time, because row numbers are out of range.
  bool smaller_grid = true;
};

/// A grid cut into windows, shared by all layers that cut it in the same way. Windows begin `shift` tokens
/// below and to the right of the corner and wrap around at the edges. Zeros fill the last windows. Everything
/// is computed from the size of the grid, which need not be known at export.
class ONNXPORT_API WindowPartition {
 public:
  WindowPartition(Graph& graph, const TokenGrid& grid, const WindowParameters& p);

  std::int64_t window() const { return window_; }
  /// x [rows of the grid, C] -> [batch * windows * window², C], window after window.
  Value split(Value x) const { return split_(x); }
  /// The inverse; drops the padding.
  Value join(Value x) const { return join_(x); }
  const Dim& batch() const { return grid_.batch; }
  Dim windows() const { return down_ * across_; }  ///< of one image
  /// A mask to add to the scores: float [windows, 1, window², window²], 0 for tokens that are neighbours in
  /// the image, and -100 for tokens that only the shift brings together. Absent without a shift.
  Value mask() const { return mask_; }

 private:
  TokenGrid grid_;
  std::int64_t window_;
  Dim down_, across_;  // windows
  RowSelection split_, join_;
  Value mask_;
};

struct WindowAttentionParameters {
  std::int64_t hidden_size = 0;
  std::int64_t heads = 0;
  std::int64_t window = 7;
  bool qkv_bias = true;
};

/// Multi-head self-attention of the tokens of a window, with a learned bias for each offset between two
/// tokens. Keys: self.query, self.key, self.value, self.relative_position_bias_table [(2 * window - 1)²,
/// heads], output.dense.
class ONNXPORT_API WindowAttention {
 public:
  WindowAttention(const Scope& s, const WindowAttentionParameters& p);
  /// x: rows of the grid -> rows of the grid.
  Value operator()(Value x, const WindowPartition& windows) const;

 private:
  std::string path_;
  std::int64_t heads_, head_dim_;
  Linear query_, key_, value_, output_;
  Weight bias_;  // [heads, window², window²]
};

/// Where the norm of PatchMerging is.
enum class MergeNorm : std::uint8_t {
  before,  ///< the reduction, over 4 * width elements
  after,   ///< over 2 * width elements
};

/// Merges four tokens into one: a norm and a reduction of their concatenation. Keys: norm, reduction.weight
/// [2 * width, 4 * width].
class ONNXPORT_API PatchMerging {
 public:
  PatchMerging(const Scope& s, std::int64_t width, MergeNorm norm = MergeNorm::before);
  /// x [rows of `grid`, width] -> [rows of merged(grid), 2 * width]
  Value operator()(Value x, const TokenGrid& grid) const;
  static TokenGrid merged(const TokenGrid& grid);

 private:
  std::string path_;
  std::int64_t width_;
  MergeNorm place_;
  Weight norm_weight_, norm_bias_, reduction_;
};

}  // namespace onnxport::nn
