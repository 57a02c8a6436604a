/// Positions of patches from a square table that is sampled at their centres, for images of any size as rows
/// of patches: GLM-4V, PaddleOCR-VL.
#pragma once

#include <cstdint>

#include "models/multimodal/common/patches/patch_grid.h"
#include "onnxport/weight.h"

namespace onnxport::models {

/// How the positions around a centre are mixed: of two neighbours along each axis, or of four.
enum class Sampling : std::uint8_t { linear, cubic };

/// As torch.nn.functional.grid_sample gives them, without aligned corners; beyond the border its elements
/// repeat. `table`: [side * side, H], row by row. `grid`: int64 [images, 3], of which `places` were made. ->
/// [N, H] in the dtype of floats.
Value sampled_positions(const Weight& table, std::int64_t side, const PatchPlaces& places, Value grid,
                        Sampling sampling);

}  // namespace onnxport::models
