/// Latent attention: keys and values are made from one short vector per token, and a part of each key, which
/// all heads share, holds the position. (DeepSeek-AI 2024, DeepSeek-V2)
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "onnxport/graph.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

struct LatentAttentionParameters {
  std::int64_t hidden_size = 0;
  std::int64_t heads = 0;
  std::optional<std::int64_t> query_rank = {};  ///< of a short vector for queries; absent: a single layer
  std::int64_t rank = 0;                        ///< of the vector for keys and values
  /// Sizes of a head: the parts of queries and keys without and with a position, and its values.
  std::int64_t plain_dim = 0, turned_dim = 0, value_dim = 0;
  bool bias = false;  ///< of the layers from and to hidden states
  /// Rotates x [B, S, heads * turned_dim].
  std::function<Value(Value x, std::int64_t heads, const DecoderPass& pass)> rotate = {};
};

/// A causal attention that caches whole keys [B, heads, S, plain_dim + turned_dim] and values [B, heads, S,
/// value_dim], as transformers 4 does. Keys: q_proj, or q_a_proj, q_a_layernorm, q_b_proj; and
/// kv_a_proj_with_mqa, kv_a_layernorm, kv_b_proj, o_proj.
ONNXPORT_API CausalAttentionParts latent_attention(const Scope& s, std::int64_t layer,
                                                   const LatentAttentionParameters& p);

}  // namespace onnxport::nn
