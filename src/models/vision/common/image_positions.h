/// Positions of the pixels of an image, added to queries and keys.
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/scope.h"

namespace onnxport::models {

enum class ImagePositionsKind : std::uint8_t {
  sine,     ///< sines and cosines of the row, and of the column
  learned,  ///< 50 rows and 50 columns. Keys: row_embeddings, column_embeddings
};

class ImagePositions {
 public:
  /// `width`: a multiple of 4 for sines, of 2 for learned positions.
  ImagePositions(const Scope& s, ImagePositionsKind kind, std::int64_t width);
  /// For the pixels of an image [B, C, H, W]: [1, H * W, width].
  Value operator()(Value image) const;

 private:
  std::string path_;
  std::int64_t width_;
  Weight row_embeddings_, column_embeddings_;  // empty: sines
};

}  // namespace onnxport::models
