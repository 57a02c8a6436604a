/// What models of images have in common: the ways between an image and a sequence of tokens.
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

/// How an axis of `from` elements is resampled to `to`, as a matrix [to, from], float32: what
/// op::interpolate() computes for `mode` "linear" or "cubic". Of its own length, the identity.
ONNXPORT_API Value resampling_matrix(Graph& graph, const Dim& to, std::int64_t from, std::string_view mode);

/// A table with one row for each place of a grid, resampled for grids of any size: a product with
/// resampling_matrix() for each axis. Of its own size it comes out as it is.
class ONNXPORT_API GridTable {
 public:
  /// `table`: [N, places of the grid, C]; `mode`: that of resampling_matrix().
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
};

struct ImageTokensParameters {
  std::int64_t channels = 3;
  std::int64_t hidden_size = 0;
  KernelSize patch;  ///< of an image, in pixels
  KernelSize grid;   ///< of patches, for which there are positions
  std::vector<LearnedTokens> before = {{"cls_token"}};
  std::vector<LearnedTokens> behind = {};
  bool positions = true;
  std::string resampling = "cubic";  ///< of positions for another grid: a mode of op::interpolate()
  std::string projection = "patch_embeddings.projection";
};

/// Patches of an image as tokens, between learned ones, and their positions. (Dosovitskiy et al. 2021) Keys:
/// `projection`, the learned tokens, position_embeddings [1, all tokens, hidden_size].
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
