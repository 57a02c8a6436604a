/// Attention to the states of an image, and layers of text encoders that also look at one.
#pragma once

#include <cstdint>

#include "onnxport/graph.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"

namespace onnxport::models {

/// States that a layer attends to.
struct OtherStates {
  Value states;  ///< [B, E, width]
  op::AttentionMask mask = {};
};

/// Attention of x [B, S, H] to other states, and the projection of the result: [B, S, H]. The parameters name
/// the keys.
Value attend_to(const Scope& s, const nn::SelfAttentionParameters& p, Value x, const OtherStates& other);

/// A PostNormEncoderLayer that between attention and feed-forward attends to other states: x [B, S, H] -> [B,
/// S, H]. Keys: those of the layer, and crossattention with those of its attention. Throws
/// ExportError(unsupported) for positions in the scores.
Value cross_layer(const Scope& s, const nn::EncoderLayerParameters& p, Value x, const op::AttentionMask& mask,
                  const OtherStates& other);

}  // namespace onnxport::models
