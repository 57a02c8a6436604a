/// Queries that grow with their position, for contexts longer than in training.
#pragma once

#include <cstdint>

#include "onnxport/export_macro.h"
#include "onnxport/graph.h"
#include "onnxport/nn/causal_attention.h"

namespace onnxport::nn {

/// 1 + beta * log(1 + floor(position / length)). (Llama 4; Ministral 3)
struct PositionScale {
  double beta = 0;
  std::int64_t length = 1;  ///< up to here the factor is 1
};

/// x [B, S, H] times the factor of its position; positions: int [B, S], [1, S] or [S], none below 0. Computes
/// in float32. Throws ExportError(bad_config) if the length is below 1.
ONNXPORT_API Value scaled_by_position(Value x, Value positions, const PositionScale& scale);

/// The projection with its queries scaled by the pass's position_ids.
ONNXPORT_API Projection queries_scaled_by_position(Projection projection, const PositionScale& scale);

}  // namespace onnxport::nn
