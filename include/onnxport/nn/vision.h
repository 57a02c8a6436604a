/// Shared parts of image models: conversions between images and sequences of tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/conv.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// [B, C, H, W] -> [B, H * W, C], row by row.
ONNXPORT_API Value image_to_tokens(Value image);
/// [B, rows * columns, C] -> [B, C, rows, columns]
ONNXPORT_API Value tokens_to_image(Value tokens, const Dim& rows, const Dim& columns);
/// [B, C * factor², H, W] -> [B, C, H * factor, W * factor]: each pixel becomes a square.
/// (torch.nn.functional.pixel_shuffle)
ONNXPORT_API Value pixel_shuffle(Value image, std::int64_t factor);
/// The way back: [B, C, H, W] -> [B, C * factor², H / factor, W / factor], for extents that are multiples.
/// (torch.nn.functional.pixel_unshuffle)
ONNXPORT_API Value pixel_unshuffle(Value image, std::int64_t factor);

/// The matrix [to, from], float32, that resamples an axis of `from` elements to `to`, like op::interpolate()
/// with `mode` "linear" or "cubic". With "antialiased cubic", the kernel is as wide as the step between two
/// elements of the result, and is cut off at the ends (torch.nn.functional.interpolate with antialias, which
/// has the coefficient -0.5). It is the identity if both lengths are equal.
ONNXPORT_API Value resampling_matrix(Graph& graph, const Dim& to, std::int64_t from, std::string_view mode);

/// A table with one row per cell of a grid, resampled for grids of any size by a product with
/// resampling_matrix() for each axis. For its own size, it is unchanged.
class ONNXPORT_API GridTable {
 public:
  /// `table`: [N, cells of the grid, C]; `mode`: as in resampling_matrix().
  GridTable(const Weight& table, KernelSize grid, std::string mode);
  /// -> [N, rows * columns, C]
  Value operator()(Graph& graph, const Dim& rows, const Dim& columns) const;

 private:
  Weight table_;
  KernelSize grid_;
  std::string mode_;
};

/// A learned tensor [1, count, H], the same for all images.
struct LearnedTokens {
  std::string name;
  std::int64_t count = 1;
  bool placed = true;  ///< has positions
};

struct ImageTokensParameters {
  std::int64_t channels = 3;
  std::int64_t hidden_size = 0;
  KernelSize patch;  ///< of an image, in pixels
  KernelSize grid;   ///< of the patches that have stored positions
  std::vector<LearnedTokens> before = {{"cls_token"}};
  std::vector<LearnedTokens> behind = {};
  bool positions = true;
  std::string resampling = "cubic";  ///< of positions, for other grids: a mode of resampling_matrix()
  std::string projection = "patch_embeddings.projection";
};

/// Patches of an image as tokens, with learned tokens before and after them, and positions. (Dosovitskiy et
/// al. 2021) Keys: `projection`, the learned tokens, position_embeddings [1, all tokens with positions,
/// hidden_size].
class ONNXPORT_API ImageTokens {
 public:
  ImageTokens(const Scope& s, const ImageTokensParameters& p);
  /// [B, channels, height, width] -> [B, tokens, hidden_size]
  Value operator()(Value pixel_values) const;

 private:
  std::string path_;
  Conv2d projection_;
  struct Placed {
    Weight tokens, positions;  // empty: none
  };
  static Placed read(const Scope& s, const std::vector<LearnedTokens>& tokens, std::int64_t width);

  Placed before_, behind_;
  std::optional<GridTable> positions_;
};

}  // namespace onnxport::nn
