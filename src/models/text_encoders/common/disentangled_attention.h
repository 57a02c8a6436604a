/// Disentangled attention: scores compare contents, and contents with relative positions. (He et al. 2020)
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/scope.h"

namespace onnxport::models {

/// How distances choose a row in a table of positions with 2 * span() rows.
struct DistanceBuckets {
  std::int64_t max_distance = 0;
  std::int64_t buckets = 0;  ///< 0: each distance has its own row

  std::int64_t span() const { return buckets > 0 ? buckets : max_distance; }
};

/// Rows for the distances -S, …, S - 1 of a sequence of length S, int64 [2 S]. They depend only on the
/// length, so all layers share them.
struct DistanceRows {
  DistanceRows(Graph& graph, const Dim& length, const DistanceBuckets& b);

  Value ahead;   ///< row of distance d
  Value behind;  ///< row of distance -d
};

/// How the projections of the contents are stored.
enum class ContentProjections {
  apart,   ///< query_proj, key_proj, value_proj
  packed,  ///< in_proj: queries, keys and values of each head; biases q_bias, v_bias
};

/// The projections of the table of positions.
enum class PositionProjections {
  none,    ///< no table; the terms still count in the scale
  own,     ///< pos_key_proj, pos_query_proj; beside packed contents pos_proj, without a bias, and pos_q_proj
  shared,  ///< those of the contents
};

struct DisentangledAttentionParameters {
  std::int64_t hidden_size = 0, heads = 0;
  bool content_to_position = false, position_to_content = false;  ///< terms besides content to content
  ContentProjections contents = ContentProjections::apart;
  PositionProjections projections = PositionProjections::own;
};

/// Values that all layers share.
struct DisentangledContext {
  Value mask;       ///< added to the scores [B, 1, S, S], or absent
  Value positions;  ///< the table [2 * span, hidden_size], or absent
  std::optional<DistanceRows> rows;
};

/// Self-attention without its output projection. Keys: those of the contents and of the positions.
class DisentangledAttention {
 public:
  DisentangledAttention(const Scope& s, const DisentangledAttentionParameters& p);
  /// x [B, S, hidden_size] -> [B, S, hidden_size]
  Value operator()(Value x, const DisentangledContext& shared) const;

 private:
  Value term(Value x, Value positions, Value rows) const;

  std::string path_;
  std::int64_t heads_;
  double scale_;
  nn::Linear query_proj_, key_proj_, value_proj_;
  std::optional<nn::Linear> pos_key_proj_, pos_query_proj_;
};

}  // namespace onnxport::models
