/// Conformer layers: feed-forward, attention with relative positions, a convolution over time. (Gulati et al.
/// 2020)
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// Values that all layers share.
struct ConformerContext {
  op::AttentionMask mask = {};
  Value padding = {};    ///< bool [B, L, 1]: true where there is no frame; or absent
  Value distances = {};  ///< [2 L, H]: conformer_distances(), for DistanceTerms
  op::Rope rope = {};    ///< turns what queries and keys are projected from
};

/// Sinusoids of the distances L, L - 1, …, 1 - L from a query back to a key: [2 L, width]. Sines and cosines
/// take turns.
ONNXPORT_API Value conformer_distances(Graph& graph, const Dim& length, std::int64_t width, DType dtype);

/// Keys of terms of the scores that depend on sinusoids of distances: (q + u) k + (q + v) W d. (Dai et al.
/// 2019)
struct DistanceTerms {
  std::string projection = "linear_pos";     ///< W, no bias
  std::string content_bias = "pos_bias_u";   ///< u [heads, head_dim]
  std::string distance_bias = "pos_bias_v";  ///< v [heads, head_dim]
};

/// A learned vector for each distance from a query to a key, from -left to right; greater distances share the
/// outermost. (Shaw et al. 2018) Key: distance_embedding.weight [left + 1 + right, head_dim].
struct DistanceVectors {
  std::int64_t left = 0, right = 0;
};

struct ConformerAttentionParameters {
  SelfAttentionParameters projections;
  std::optional<DistanceTerms> terms = {};
  std::optional<DistanceVectors> vectors = {};
};

/// Self-attention. Keys: those of the parameters.
class ONNXPORT_API ConformerAttention {
 public:
  ConformerAttention(const Scope& s, const ConformerAttentionParameters& p);
  /// x [B, L, H] -> [B, L, H]
  Value operator()(Value x, const ConformerContext& shared) const;

 private:
  Value terms_of(Value query, const ConformerContext& shared) const;
  Value vectors_of(Value query) const;

  std::string path_;
  std::int64_t heads_, head_dim_;
  Linear query_, key_, value_, output_;
  std::optional<Linear> distances_;
  Weight content_bias_, distance_bias_;  // [heads * head_dim]
  std::optional<DistanceVectors> vectors_;
  Weight vector_table_;
};

/// The convolutions that have a bias.
enum class ConformerConvBias { none, all, pointwise };

struct ConformerConvParameters {
  std::int64_t width = 0;
  std::int64_t inner = 0;  ///< of the depthwise convolution; 0: width
  std::int64_t kernel = 31;
  std::string activation = "silu";
  ConformerConvBias bias = ConformerConvBias::none;
  bool causal = false;  ///< a frame sees the kernel's frames up to its own, not around it
  /// The norm after the depthwise convolution: key of one over channels, else of a batch norm.
  std::string layer_norm = {}, batch_norm = "batch_norm";
  double eps = 1e-5;  ///< of the norm over channels
  /// Keys of the convolutions.
  std::string first = "pointwise_conv1", depthwise = "depthwise_conv", second = "pointwise_conv2";
};

/// second(activation(norm(depthwise(glu(first(x)))))), where `first` and `second` look at one frame. An even
/// kernel reaches one frame further back than ahead.
class ONNXPORT_API ConformerConv {
 public:
  ConformerConv(const Scope& s, const ConformerConvParameters& p);
  /// x [B, L, width] -> the same. `padding` [B, L, 1] bool: frames that others must not see; or absent
  Value operator()(Value x, Value padding) const;

 private:
  std::string path_;
  Linear first_;
  Conv1d depthwise_;
  std::optional<LayerNorm> layer_norm_;
  std::optional<BatchNorm2d> batch_norm_;
  Activation activation_;
  Linear second_;
};

/// Half of a feed-forward, attention, convolution, and half of another feed-forward, each with a norm in
/// front and a residual; then a norm.
struct ONNXPORT_API ConformerLayer {
  std::string path;
  LayerNorm first_norm;
  Mlp first;
  LayerNorm attention_norm;
  ConformerAttention attention;
  LayerNorm convolution_norm;
  ConformerConv convolution;
  LayerNorm second_norm;
  Mlp second;
  LayerNorm norm;
  /// x [B, L, H] -> [B, L, H]
  Value operator()(Value x, const ConformerContext& shared) const;
};

/// The halves of the channels of x [B, 2 C, L] or, on the last axis, [B, L, 2 C]: a * sigmoid(b). (Dauphin et
/// al. 2017; torch.nn.functional.glu)
ONNXPORT_API Value glu(Value x, std::int64_t axis);

}  // namespace onnxport::nn
