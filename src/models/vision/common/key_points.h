/// Key points of images: as many as the images have.
#pragma once

#include <cstdint>

#include "models/common/definition.h"

namespace onnxport::models {

/// Images [B, 1, H, W] with 0 for pixels that are not the largest within a radius. Twice, pixels that only a
/// suppressed one suppressed come back.
Value local_maxima(Value image, std::int64_t radius);

struct KeyPointParameters {
  double threshold = 0;     ///< points have higher scores
  std::int64_t border = 0;  ///< rows and columns at the top and the left that have no points
  std::int64_t most = -1;   ///< of an image: those with the highest scores, in that order; -1: any number
};

/// The points of each image, filled up to the largest number: [B, N]. They come row by row, unless there are
/// too many.
struct KeyPoints {
  Value rows, columns;  ///< int64
  Value scores;         ///< float32
  Value real;           ///< bool: false for what fills up
};

/// `scores`: float32 [B, H, W]. N is key_point_count().
KeyPoints key_points(Value scores, const KeyPointParameters& p);
/// The number of points, which depends on the images.
Dim key_point_count();

/// Samples images [B, C, H, W] at places [B, N], in pixels from the centre of the first one, not less than
/// -1: [B, N, C]. Outside of the image there are zeros. (torch.nn.functional.grid_sample, bilinear)
Value bilinear_at(Value image, Value rows, Value columns);

}  // namespace onnxport::models
