/// Positions of the pixels of an image, added to queries and keys.
#pragma once

#include <cstdint>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/scope.h"

namespace onnxport::models {

enum class ImagePositionsKind : std::uint8_t {
  sine,     ///< sines and cosines of the row, and of the column, which count from 1
  centred,  ///< the same, counted from 1/2
  learned,  ///< 50 rows and 50 columns. Keys: row_embeddings, column_embeddings
};

/// Alternating sines and cosines of `width` / 2 angles for each number: float32 [...] -> [..., width]. An
/// angle is the number of turns, divided by temperature^(2 i / width).
Value sines_of(Value numbers, std::int64_t width, double temperature = 10000);

/// Sines of positions: the temperatures of rows and columns, and the turns of the last row and column.
struct PositionSines {
  double down = 10000, across = 10000;
  double turns = 1;
};

class ImagePositions {
 public:
  /// `width`: a multiple of 4 for sines, of 2 for learned positions.
  ImagePositions(const Scope& s, ImagePositionsKind kind, std::int64_t width,
                 const PositionSines& sines = {});
  /// For the pixels of an image [B, C, H, W]: [1, H * W, width]. `seen`, bool [B, H, W]: the pixels that
  /// count, for [B, H * W, width]; absent: all. Learned positions do not look at it.
  Value operator()(Value image, Value seen = {}) const;

 private:
  std::string path_;
  std::int64_t width_;
  PositionSines sines_;
  double first_;                               // the number of the first row and column
  Weight row_embeddings_, column_embeddings_;  // empty: sines
};

}  // namespace onnxport::models
