/// Encoders whose queries and keys turn with their places, and the residuals of encoders with layers of their
/// own.
#pragma once

#include <cstdint>
#include <functional>

#include "onnxport/graph.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// Rotates queries or keys by their places: [B, S, heads * d] -> the same.
using Turn = std::function<Value(Value)>;

/// Rotates each head by angles [1, S, R / 2], float32: element i pairs with i + R / 2.
ONNXPORT_API Turn rotation(Value angles, std::int64_t heads);

/// The angles of the patches of an image: [rows, D] and [columns, D] -> [1, rows * columns, 2 D], row by row.
/// Those of the row come first. (Heo et al. 2024, axial rotary embeddings)
ONNXPORT_API Value grid_angles(Value of_rows, Value of_columns);

/// x + scale * branch(norm(x)): x [..., H], `scale` [H] or empty. (Xiong et al. 2020, Touvron et al. 2021)
ONNXPORT_API Value pre_norm_residual(Value x, const std::function<Value(Value)>& norm,
                                     const std::function<Value(Value)>& branch, const Weight& scale = {});

/// The layer of PreNormEncoder with rotated queries and keys: x [B, S, H] -> the same. It has the same keys,
/// and no relative positions.
ONNXPORT_API Value rotated_layer(const Scope& s, const EncoderLayerParameters& p, Value x, const Turn& turn);

}  // namespace onnxport::nn
