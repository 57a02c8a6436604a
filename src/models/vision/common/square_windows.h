/// Windows of images whose size is known, with channels last.
#pragma once

#include <cstdint>

#include "onnxport/graph.h"

namespace onnxport::models {

/// Cuts x [B, rows, columns, C] into windows, with zeros that fill the last ones: [B * windows, window,
/// window, C], row by row.
Value cut_windows(Value x, std::int64_t window);
/// The inverse for an image of `rows` x `columns`; the windows may have become smaller: [B, rows, columns,
/// C].
Value join_windows(Value x, const Dim& batch, std::int64_t rows, std::int64_t columns);

}  // namespace onnxport::models
