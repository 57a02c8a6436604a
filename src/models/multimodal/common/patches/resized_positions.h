/// Positions of patches from a square table that is resized for each image, for images of any size in one
/// batch: SigLIP 2 and its relatives.
#pragma once

#include <cstdint>

#include "onnxport/dim.h"
#include "onnxport/graph.h"
#include "onnxport/weight.h"

namespace onnxport::models {

/// The positions of the patches of each image: bilinear resampling with antialias, as
/// torch.nn.functional.interpolate computes it. `table`: [side * side, H], row by row. `spatial_shapes`:
/// int64 [B, 2], rows and columns of patches in each image, at least 1. -> [B, patches, H] in the dtype of
/// floats. Patches beyond rows * columns are padding and get the position of the first one.
Value resized_positions(const Weight& table, std::int64_t side, Value spatial_shapes, const Dim& patches);

}  // namespace onnxport::models
