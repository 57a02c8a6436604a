/// Self-attention with a cache, and the projections in front of it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

struct HeadSizes {
  std::int64_t hidden_size = 0;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t head_dim = 0;
};

/// [B, S, heads * head_dim], [B, S, kv_heads * head_dim] twice.
struct QueryKeyValue {
  Value query, key, value;
};

/// How one weight holds queries, keys and values.
enum class FusedLayout {
  stacked,      ///< all queries, all keys, all values: [heads + 2 kv_heads, head_dim]
  per_kv_head,  ///< for each key head its queries, its key, its value: [kv_heads, heads / kv_heads + 2,
                ///< head_dim]
};

/// The projections in front of an attention: three linear layers, or one whose rows hold all three.
class ONNXPORT_API QkvProjection {
 public:
  /// Keys: the three names below `s`.
  static QkvProjection separate(const Scope& s, const HeadSizes& sizes, bool bias,
                                const std::string& query = "q_proj", const std::string& key = "k_proj",
                                const std::string& value = "v_proj", bool key_bias = true);
  /// Keys: weight and maybe bias of `fused`, in this layout.
  static QkvProjection fused(const Linear& fused, const HeadSizes& sizes, FusedLayout layout);

  /// Repeats keys and values for every query head, for models that cache them in this form.
  QkvProjection repeated(const HeadSizes& sizes) &&;
  /// Keeps all three between -bound and bound (MPT, OLMo: clip_qkv).
  QkvProjection clipped(double bound) &&;

  /// [B, S, hidden_size]
  QueryKeyValue operator()(Value x) const;
  QueryKeyValue operator()(Value x, const DecoderPass& /*pass*/) const { return (*this)(x); }

 private:
  QkvProjection(std::vector<Linear> linears, std::vector<std::int64_t> widths)
      : linears_(std::move(linears)), widths_(std::move(widths)) {}
  std::vector<Linear> linears_;  // three, or one
  std::vector<std::int64_t> widths_;
  std::optional<HeadSizes> repeated_;
  std::optional<double> bound_;
};

/// x [B, S, hidden_size] -> queries, keys and values; for originals that need more than linear layers.
using Projection = std::function<QueryKeyValue(Value x, const DecoderPass& pass)>;

/// The keys that the queries of a layer see.
using LayerMask = std::function<op::AttentionMask(const DecoderPass&)>;
/// Real keys, by their order: DecoderPass::mask().
ONNXPORT_API LayerMask sees(const Visibility& visible, op::NoKeys no_keys = op::NoKeys::zero);

/// A norm of each head: x [B, S, heads * head_dim], as the norm [..., head_dim] gives it.
ONNXPORT_API std::function<Value(Value)> per_head(std::function<Value(Value)> norm, std::int64_t head_dim);

/// LayerNorm of each head of x [B, S, heads * head_dim], without bias and with weights [heads, head_dim]:
/// every head has its own. (Cohere, StableLM)
ONNXPORT_API std::function<Value(Value)> layer_norm_of_heads(std::string path, Weight weights, double eps);

/// Whether queries and keys are normalized before they turn, or turned first (HunYuan).
enum class NormPlace { before_rotation, after_rotation };

/// The parts of a causal attention. Its owner makes them.
struct CausalAttentionParts {
  std::string path;
  std::int64_t layer = 0;  ///< of its keys and values among the states
  HeadSizes sizes;         ///< as the cache has them
  Projection qkv;
  /// [B, S, heads * head_dim] -> [B, S, hidden_size]: a Linear, or also what the original does before it.
  std::function<Value(Value)> output;
  op::AttentionOptions options = {};
  LayerMask mask = sees({});
  std::optional<RotaryEmbedding> rotary = {};
  /// Norms of queries [B, S, heads * head_dim] and keys [B, S, kv_heads * head_dim].
  std::function<Value(Value)> query_norm = {}, key_norm = {};
  NormPlace norm_place = NormPlace::before_rotation;
  Weight sinks = {};  ///< [heads]: op::AttentionOperands::sinks
  /// In which the scores and what follows are computed; absent: the dtype of x. The cache has that of x.
  std::optional<DType> score_dtype = {};
};

/// Self-attention with a cache. Gives the pass attentions.{layer}. A prefill hands over only the positions
/// that a window will still see.
class ONNXPORT_API CausalAttention {
 public:
  CausalAttention(CausalAttentionParts parts) : parts_(std::move(parts)) {}
  /// x [B, S, H] -> [B, S, H]. Keeps keys and values in `pass`.
  Value operator()(Value x, DecoderPass& pass) const { return (*this)(x, pass, parts_.mask(pass)); }
  /// The same with an explicit mask, which its owner makes once for all layers.
  Value operator()(Value x, DecoderPass& pass, const op::AttentionMask& mask) const;

 private:
  CausalAttentionParts parts_;
};

}  // namespace onnxport::nn
