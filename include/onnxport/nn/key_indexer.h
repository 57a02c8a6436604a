/// Sparse attention: an indexer scores all keys, and a query attends to those that score most. (DeepSeek-AI
/// 2025, DeepSeek-V3.2)
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// Whether a score is one of the `count` largest of its row, of equal ones one of the first: scores float32
/// [..., N] -> bool [..., N]. All are, where N is not larger. Throws ExportError(bad_config) for a count
/// below 1.
ONNXPORT_API Value among_largest(Value scores, std::int64_t count);

/// The real keys up to a query's own, for what an original computes before its attention: bool [B, S, P + S],
/// or [S, P + S] where the pass has no mask.
ONNXPORT_API Value seen_keys(const DecoderPass& pass);

struct KeyIndexerParameters {
  std::int64_t hidden_size = 0;
  std::int64_t query_rank = 0;  ///< of the short vector for queries
  std::int64_t heads = 0;
  std::int64_t head_dim = 0;
  std::int64_t count = 0;  ///< of the keys that each query keeps
  double norm_eps = 1e-6;
  /// Rotates x [B, S, heads * head_dim].
  std::function<Value(Value x, std::int64_t heads, const DecoderPass& pass)> rotate = {};
};

/// Scores are sums over heads of weight * relu(query * key), where all heads share the keys. Its state
/// `indexer` holds the rotated keys [B, P, head_dim]. Keys: wq_b, wk, k_norm (LayerNorm), weights_proj.
class ONNXPORT_API KeyIndexer {
 public:
  KeyIndexer(const Scope& s, std::int64_t layer, const KeyIndexerParameters& p);
  /// x [B, S, hidden_size], the short vector for queries [B, S, query_rank] -> bool [B, 1, S, P + S]: whether
  /// a query keeps a key. Computes the scores in float32. Keeps its state in `pass`.
  Value operator()(Value x, Value query_latent, DecoderPass& pass) const;

 private:
  std::string path_;
  std::int64_t layer_;
  KeyIndexerParameters parameters_;
  Linear query_, key_, weights_;
  LayerNorm norm_;
};

}  // namespace onnxport::nn
