/// Terms of the attention of Transformer-XL. (Dai et al. 2019)
#pragma once

#include <cstdint>

#include "onnxport/dim.h"
#include "onnxport/export_macro.h"
#include "onnxport/graph.h"

namespace onnxport::nn {

/// Sines in the first half of each row and cosines in the second, with frequencies from 1 to 1 / 10000: int
/// [n] -> [n, width]. Computed in float32.
ONNXPORT_API Value sinusoids(Value positions, std::int64_t width, DType dtype);

/// What queries see in the distances to keys, not scaled: [B, heads, S, S]. `query` [B, S, heads * d];
/// `distances` [2 S, heads * d], or [2 S, d] for all heads: of the distances S, S - 1, …, 1 - S from a query
/// back to a key.
ONNXPORT_API Value distance_scores(Value query, Value distances, std::int64_t heads, const Dim& length);

/// What queries see in the types of keys, not scaled: [B, heads, S, S]. `types` [2, heads * d]: of the same
/// type, of another; `other` [B, 1, S, S]: 1 where key and query have different types, else 0.
ONNXPORT_API Value type_scores(Value query, Value types, Value other, std::int64_t heads);

}  // namespace onnxport::nn
