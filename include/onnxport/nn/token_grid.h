/// Image tokens as matrix rows: grids, and patches of grids.
#pragma once

#include <cstdint>

#include "onnxport/dim.h"
#include "onnxport/graph.h"

namespace onnxport::nn {

/// The order of tokens in the rows of a matrix: token (y, x) of image b is row (b * height + y) * width + x.
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

/// Row numbers of a matrix, in consecutive groups.
struct RowSelection {
  Value indices;  ///< int64 [groups * size of a group]
  Value real =
      {};  ///< float [groups * size of a group, 1]: 0 for what is padding, 1 else; absent: no padding

  /// The selected rows of x [rows, C]; zeros for padding.
  Value operator()(Value x) const;
};

/// How to treat tokens that do not fill a patch.
enum class PatchEdge : std::uint8_t {
  drop,  ///< drop these tokens
  fill,  ///< fill the rest of the patch with zeros
};

/// The tokens of each patch of side x side tokens: row by row in a patch, patches row by row in an image,
/// image after image. This is the order of a convolution whose stride equals its kernel.
ONNXPORT_API RowSelection patches_of(Graph& graph, const TokenGrid& grid, std::int64_t side, PatchEdge edge);

namespace detail {

/// The rows of the tokens (y, x) for y int64 [down * side] and x int64 [across * side], in the order of
/// patches_of(). Coordinates outside the grid are padding, with row number `filler`. `padded` says whether
/// there may be any.
ONNXPORT_API RowSelection select_rows(Value y, Value x, const TokenGrid& grid, std::int64_t side, bool padded,
                                      const Dim& filler = 0);
/// indices [n] of the first image -> [batch * n] for all images of `per_image` rows.
ONNXPORT_API Value for_all_images(Value indices, const Dim& batch, const Dim& per_image);

}  // namespace detail

}  // namespace onnxport::nn
