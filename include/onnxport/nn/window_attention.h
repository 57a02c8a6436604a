/// Attention inside of windows of a grid of tokens. (Liu et al. 2021, Swin Transformer)
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
  Dim shift = 0;            ///< how far windows start below and right of the corner; less than a window
  /// May a grid be smaller than a window? If not, it fails: at export where its size is known, else in the
  /// run, where row numbers are out of range.
  bool smaller_grid = true;
};

/// A grid cut into windows, for all layers that cut it alike. Windows begin `shift` tokens below and right of
/// the corner; those over the edge go on at the other edge. Zeros fill the last ones. All is computed from
/// the sizes of the grid, which need not be known at export.
class ONNXPORT_API WindowPartition {
 public:
  WindowPartition(Graph& graph, const TokenGrid& grid, const WindowParameters& p);

  std::int64_t window() const { return window_; }
  /// x [rows of the grid, C] -> [batch * windows * window², C], window after window.
  Value split(Value x) const { return split_(x); }
  /// The way back; padding is left out.
  Value join(Value x) const { return join_(x); }
  const Dim& batch() const { return grid_.batch; }
  Dim windows() const { return down_ * across_; }  ///< of one image
  /// What is added to scores: float [windows, 1, window², window²], 0 for tokens that are neighbours in the
  /// image and -100 for those that only the shift brings together. Absent without a shift.
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

/// Multi-head self-attention of the tokens of a window, with a learned bias for each way from token to token.
/// Keys: self.query, self.key, self.value, self.relative_position_bias_table [(2 * window - 1)², heads],
/// output.dense.
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

/// Four tokens become one: norm and reduction of their concatenation. Keys: norm [4 * width],
/// reduction.weight [2 * width, 4 * width].
class ONNXPORT_API PatchMerging {
 public:
  PatchMerging(const Scope& s, std::int64_t width);
  /// x [rows of `grid`, width] -> [rows of merged(grid), 2 * width]
  Value operator()(Value x, const TokenGrid& grid) const;
  static TokenGrid merged(const TokenGrid& grid);

 private:
  std::string path_;
  std::int64_t width_;
  Weight norm_weight_, norm_bias_, reduction_;
};

}  // namespace onnxport::nn
