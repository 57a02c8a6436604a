/// Attention: heads, masks, positions in the scores.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// [B, S, heads * d] -> [B, heads, S, d]
ONNXPORT_API Value split_heads(Value x, std::int64_t heads);
/// [B, heads, S, d] -> [B, S, heads * d]
ONNXPORT_API Value merge_heads(Value x);

/// The mask for an attention mask [B, S] of 0 and 1, or bool: 0 hides a key. If all keys of a row are masked,
/// it attends to all of them equally, like the originals, which add the mask to the scores. An absent mask
/// hides nothing.
ONNXPORT_API op::AttentionMask padding_mask(Value attention_mask);
/// The same as float [B, 1, 1, S]: 0 where the mask is 1, the lowest finite value elsewhere. For originals
/// that add several masks to the scores. The result is absent if the mask is.
ONNXPORT_API Value padding_bias(Value attention_mask, DType dtype);

/// The buckets of relative distances, as integer thresholds: the bucket of a distance m is the number of
/// thresholds <= m. This needs no logarithm at run time, so rounding cannot differ.
ONNXPORT_API std::vector<std::int64_t> relative_bucket_thresholds(std::int64_t buckets,
                                                                  std::int64_t max_distance);

struct RelativeKeyParameters {
  std::int64_t max_positions = 0;
  bool with_key = false;  ///< keys contribute, too
  bool scaled = true;     ///< the attention scales these terms like the scores
};

/// Learned distances in the scores, for keys (and queries): `relative_key` and `relative_key_query`. (Shaw et
/// al. 2018, Huang et al. 2020) Keys: distance_embedding.weight [2 * max_positions - 1, head_dim].
class ONNXPORT_API RelativeKeyPositions {
 public:
  RelativeKeyPositions(const Scope& s, std::int64_t head_dim, const RelativeKeyParameters& p);
  /// query and key [B, heads, S, d] -> terms of the scores [B, heads, S, S], not scaled.
  Value operator()(Value query, Value key) const;

 private:
  std::string path_;
  Weight weight_;
  RelativeKeyParameters parameters_;
};

struct RelativeBiasParameters {
  std::int64_t heads = 0;
  std::int64_t rows = 32;     ///< of the stored table
  std::int64_t buckets = 32;  ///< of the bucket function
  std::int64_t max_distance = 128;
  bool both_ways = true;  ///< false: later positions share the bucket of distance 0
};

/// A table of bias per distance bucket, shared by all layers (Raffel et al. 2020). Keys: weight [rows,
/// heads].
class ONNXPORT_API RelativeBias {
 public:
  RelativeBias(const Scope& s, const RelativeBiasParameters& p);
  /// Bias [1, heads, S, P + S] for S positions after a past of P.
  Value operator()(Graph& graph, const Dim& length, const Dim& past = 0) const;

 private:
  std::string path_;
  Weight weight_;
  RelativeBiasParameters parameters_;
};

/// The projections of an attention that have a bias.
enum class QkvBias { all, none, query_and_value };

struct SelfAttentionParameters {
  std::int64_t hidden_size = 0;
  std::int64_t heads = 0;
  /// Keys below the scope of the attention.
  std::string query = "self.query", key = "self.key", value = "self.value", output = "output.dense";
  QkvBias bias = QkvBias::all;
  std::optional<RelativeKeyParameters> relative_positions = {};
};

/// Multi-head self-attention with its output projection.
class ONNXPORT_API SelfAttention {
 public:
  SelfAttention(const Scope& s, const SelfAttentionParameters& p);
  /// x [B, S, H] -> [B, S, H]
  Value operator()(Value x, op::AttentionMask mask = {}) const;

 private:
  std::string path_;
  std::int64_t heads_;
  std::int64_t head_dim_;
  bool relative_scaled_;
  Linear query_, key_, value_, output_;
  std::optional<RelativeKeyPositions> positions_;
};

}  // namespace onnxport::nn
