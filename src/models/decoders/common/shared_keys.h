/// Attention with the keys and values of other layers (Gemma 3n, Gemma 4).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"

namespace onnxport::models {

/// Keys and values of the layers of one pass, in their whole length.
using KeptKeys = std::map<std::int64_t, nn::KeyValue>;

/// Layers from `first` on take the keys and values of the last layer before it that sees the same; others
/// have their own. Throws ExportError(bad_config) if there is none.
std::optional<std::int64_t> source_of_keys(const std::vector<nn::Visibility>& visible, std::int64_t first,
                                           std::int64_t layer);

/// A causal attention with norms of queries, whose keys and values are its own or those of another layer.
class SharedKeyAttention {
 public:
  /// With a `source`, the projection of `parts` gives only queries, and `kv_heads` are those of the source.
  SharedKeyAttention(nn::CausalAttentionParts parts, nn::Visibility visible,
                     std::optional<std::int64_t> source);
  /// x [B, S, H] -> [B, S, H]. Gives the pass attentions.{layer}.
  Value operator()(Value x, nn::DecoderPass& pass, KeptKeys& kept) const;

 private:
  op::AttentionOperands with_own(const nn::QueryKeyValue& now, const op::Rope& rope,
                                 const nn::DecoderPass& pass) const;
  op::AttentionOperands with_shared(Value query, const op::Rope& rope, const nn::DecoderPass& pass,
                                    const nn::KeyValue& kept) const;
  /// [1, 1, S, P + S]: the order of the keys, which keys of another layer do not have by themselves.
  Value ordered(const nn::DecoderPass& pass) const;

  nn::CausalAttentionParts parts_;
  nn::Visibility visible_;
  std::optional<std::int64_t> source_;
};

}  // namespace onnxport::models
