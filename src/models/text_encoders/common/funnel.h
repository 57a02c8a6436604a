/// The layers of Funnel Transformer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/config.h"
#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/scope.h"
#include "onnxport/weight.h"

namespace onnxport::models {

struct FunnelConfig {
  std::int64_t vocab_size, width, heads, head_dim, inner, decoder_layers, num_labels;
  std::vector<std::int64_t> blocks, repeats;
  std::string activation;
  double eps;
  bool factorized, mean, separate_cls, truncate, pool_queries_only, tied;

  /// Throws ExportError(bad_config).
  explicit FunnelConfig(const PretrainedConfig& config);
  nn::LayerNorm norm(const Scope& s) const { return {s, width, eps}; }
};

/// The places of the tokens of a block, as its attention sees them.
struct FunnelPlaces {
  Value position;  ///< int64 [n]
  Value types;     ///< int64 [B, n]
};

/// Attention of tokens to tokens, maybe of another block, and a feed-forward, each with a residual and a
/// norm. Scores compare contents, contents with distances, and types. Keys: attention.{q_head, k_head,
/// v_head, post_proj, r_w_bias, r_r_bias, r_s_bias, r_kernel, seg_embed, layer_norm}, ffn.{linear_1,
/// linear_2, layer_norm}.
class FunnelLayer {
 public:
  FunnelLayer(const Scope& s, const FunnelConfig& c);
  /// query [B, m, width], key [B, n, width], mask float [B, n]: 1 for real keys -> [B, m, width]
  Value operator()(Value query, Value key, const FunnelPlaces& from, const FunnelPlaces& to,
                   Value mask) const;

 private:
  Value attend(Value query, Value key, const FunnelPlaces& from, const FunnelPlaces& to, Value mask) const;
  Value by_distance(Value query, Value from, Value to) const;
  Value by_type(Value query, const FunnelPlaces& from, const FunnelPlaces& to) const;
  Value without_cls(Value scores, const FunnelPlaces& from, const FunnelPlaces& to) const;

  std::string path_;
  FunnelConfig config_;
  nn::Linear q_head_, k_head_, v_head_, post_proj_;
  Weight content_bias_, distance_bias_, type_bias_, types_, distance_;
  nn::LayerNorm attention_norm_;
  nn::Mlp mlp_;
  nn::LayerNorm norm_;
};

}  // namespace onnxport::models
