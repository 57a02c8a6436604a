/// Latent attention: keys and values are made from one short vector per token, and a part of each key, which
/// all heads share, holds the position. (DeepSeek-AI 2024, DeepSeek-V2)
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"
#include "onnxport/weight.h"

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
/// value_dim], as transformers 4 does. Keys: q_proj, or q_a_proj, q_a_layernorm, q_b_proj; and o_proj,
/// kv_a_proj_with_mqa, kv_a_layernorm, and kv_b_proj, or k_b_proj, v_b_proj (of GGUF files).
ONNXPORT_API CausalAttentionParts latent_attention(const Scope& s, std::int64_t layer,
                                                   const LatentAttentionParameters& p);

/// What queries need, from hidden states x [B, S, hidden_size].
struct LatentQuery {
  Value query;        ///< [B, S, heads * (plain_dim + turned_dim)], before the rotation
  Value latent = {};  ///< [B, S, query_rank]: the short vector for queries; absent: a single layer makes them
  Value gate = {};  ///< [B, S, heads * value_dim or heads]: its sigmoid multiplies the output; may be absent
};
using LatentQueries = std::function<LatentQuery(Value x, const DecoderPass& pass)>;
/// bool, broadcasts to [B, heads, S, P + S]: whether a query attends to a key, beside the mask.
using KeySelection = std::function<Value(Value x, const LatentQuery& made, DecoderPass& pass)>;

/// The parts of a latent attention that caches the latents. Its owner makes them.
struct LatentAttentionParts {
  std::string path;
  std::int64_t layer = 0;  ///< of its states
  LatentAttentionParameters sizes;
  LatentQueries query;
  std::function<Value(Value)> down;              ///< [B, S, hidden_size] -> [B, S, rank + turned_dim]
  std::function<Value(Value)> norm;              ///< of the first part [B, S, rank], the latent
  std::function<Value(Value)> turned_norm = {};  ///< of the second part, before its rotation
  /// [heads * (plain_dim + value_dim), rank]: for each head the rows of its keys, then those of its values.
  Weight up;
  std::function<Value(Value)> output;  ///< [B, S, heads * value_dim] -> [B, S, hidden_size]
  op::AttentionOptions options = {};   ///< with the scale: there is no usual one
  LayerMask mask = sees({});
  Weight sinks = {};  ///< [heads]: op::AttentionOperands::sinks
  KeySelection selection = {};
};

/// The parts with the keys of latent_attention(), scaled by the size of a head's keys. `query`: other layers
/// for queries.
ONNXPORT_API LatentAttentionParts cached_latent_attention(const Scope& s, std::int64_t layer,
                                                          const LatentAttentionParameters& p,
                                                          LatentQueries query = {});

/// A causal attention that caches what its keys and values are made of, as transformers 5 does: as `key` the
/// latents after their norm [B, 1, P, rank], as `value` the rotated parts of the keys [B, 1, P, turned_dim].
/// Gives the pass attentions.{layer}.
///
/// The original makes the keys and values of the whole past in every call. Here queries take the way of the
/// keys backwards, and the weighted sums of latents become values, which is the same product in another
/// order: a token costs no layer over the past.
class ONNXPORT_API LatentAttention {
 public:
  LatentAttention(LatentAttentionParts parts);
  /// x [B, S, hidden_size] -> [B, S, hidden_size]. Keeps the states in `pass`.
  Value operator()(Value x, DecoderPass& pass) const;

 private:
  Value latent_queries(Value query, const DecoderPass& pass) const;
  Value values(Value sums) const;
  LatentAttentionParts parts_;
};

/// The elements [begin, begin + width) of each head of x [B, S, heads * D], changed by a function of these
/// alone [B, S, heads * width].
ONNXPORT_API Value change_part(Value x, std::int64_t heads, std::int64_t begin, std::int64_t width,
                               const std::function<Value(Value)>& change);

}  // namespace onnxport::nn
