/// Attention whose results a gate opens or closes.
#pragma once

#include <functional>

#include "onnxport/graph.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"

namespace onnxport::nn {

/// x [B, S, H] -> what the results of the heads are multiplied by before the output layer: a number for each
/// element [B, S, heads * head_dim], or one for each head [B, S, heads].
using AttentionGate = std::function<Value(Value)>;

/// A causal attention with a gate that sees the same x. (Qiu et al. 2025; AFMoE, Laguna)
ONNXPORT_API Mixer gated_attention(CausalAttentionParts parts, AttentionGate gate);

}  // namespace onnxport::nn
