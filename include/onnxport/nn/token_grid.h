/// Tokens of images: grids of rows, and patches of such grids.
#pragma once

#include <cstdint>

#include "onnxport/dim.h"
#include "onnxport/graph.h"

namespace onnxport::nn {

/// How tokens lie in the rows of a matrix: token (y, x) of image b is row (b * height + y) * width + x.
struct TokenGrid {
  Dim batch, height, width;

  Dim tokens() const { return height * width; }  ///< of one image
  Dim rows() const { return batch * tokens(); }
};

/// The grid of an image [B, C, H, W].
ONNXPORT_API TokenGrid grid_of(Value image);
/// [B, C, H, W] -> [B * H * W, C]
ONNXPORT_API Value image_to_rows(Value image);
/// [B * H * W, C] -> [B, C, H, W]
ONNXPORT_API Value rows_to_image(Value rows, const TokenGrid& grid);
/// [B * H * W, C] -> [B, H * W, C]
ONNXPORT_API Value rows_to_tokens(Value rows, const TokenGrid& grid);

/// Row numbers of a matrix, in groups that follow each other.
struct RowSelection {
  Value indices;  ///< int64 [groups * size of a group]
  Value real =
      {};  ///< float [groups * size of a group, 1]: 0 for what is padding, 1 else; absent: no padding

  /// The selected rows of x [rows, C]; zeros for padding.
  Value operator()(Value x) const;
};

/// What becomes of tokens that do not fill a patch.
enum class PatchEdge : std::uint8_t {
  drop,  ///< they are left out
  fill,  ///< zeros fill the patch behind them
};

/// The tokens of each patch of side x side tokens, row by row; patch after patch, row by row, image after
/// image. The order of a convolution's places whose stride is its kernel.
ONNXPORT_API RowSelection patches_of(Graph& graph, const TokenGrid& grid, std::int64_t side, PatchEdge edge);

namespace detail {

/// The rows of the tokens (y, x) for y int64 [down * side] and x int64 [across * side], in the order of
/// patches_of(). Coordinates outside of the grid are padding, where `padded` says that there may be any;
/// their row number is `filler`.
ONNXPORT_API RowSelection select_rows(Value y, Value x, const TokenGrid& grid, std::int64_t side, bool padded,
                                      const Dim& filler = 0);
/// indices [n] that are right for the first image -> [batch * n], where `per_image` rows belong to an image.
ONNXPORT_API Value for_all_images(Value indices, const Dim& batch, const Dim& per_image);

}  // namespace detail

}  // namespace onnxport::nn
