/// Parts of DETR: a transformer that finds objects with learned queries, and its heads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/vision/common/image_positions.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {

/// Throws ExportError(bad_config) for sizes that do not fit each other.
struct DetrConfig {
  explicit DetrConfig(const PretrainedConfig& config);

  std::int64_t d_model, num_queries, num_labels;
  std::int64_t encoder_layers, encoder_heads, encoder_ffn_dim, decoder_layers, decoder_heads, decoder_ffn_dim;
  std::string activation;
  ImagePositionsKind positions;
  bool norm_each_layer;  ///< the states between the decoder's layers, too
};

/// Attention of queries to keys and values with different positions. Keys: q_proj, k_proj, v_proj, out_proj.
class DetrAttention {
 public:
  DetrAttention(const Scope& s, std::int64_t width, std::int64_t heads);
  Value operator()(Value query_input, Value key_input, Value value_input) const;
  /// The result of attention to zeros, for every query: [1, 1, width].
  Value of_zeros(Graph& graph) const;

 private:
  std::string path_;
  std::int64_t heads_;
  nn::Linear q_proj_, k_proj_, v_proj_, out_proj_;
};

/// With its residual and norm. Keys: fc1, fc2, final_layer_norm.
class DetrFeedForward {
 public:
  DetrFeedForward(const Scope& s, std::int64_t width, std::int64_t inner, const std::string& activation);
  Value operator()(Value x) const;

 private:
  nn::Linear fc1_, fc2_;
  nn::Activation activation_;
  nn::LayerNorm norm_;
};

/// Keys: self_attn, self_attn_layer_norm, and those of the feed-forward.
class DetrEncoderLayer {
 public:
  DetrEncoderLayer(const Scope& s, const DetrConfig& c);
  Value operator()(Value x, Value positions) const;

 private:
  std::string path_;
  DetrAttention self_attn_;
  nn::LayerNorm self_attn_norm_;
  DetrFeedForward feed_forward_;
};

/// Keys: self_attn, encoder_attn, a norm of each, and those of the feed-forward.
class DetrDecoderLayer {
 public:
  DetrDecoderLayer(const Scope& s, const DetrConfig& c);
  /// x: the state of the queries [Q, d_model]; absent in the first layer, where it is zero. `placed`: the
  /// memory with its positions.
  Value operator()(Value x, Value queries, Value memory, Value placed) const;

 private:
  std::string path_;
  DetrAttention self_attn_, encoder_attn_;
  nn::LayerNorm self_attn_norm_, encoder_attn_norm_;
  DetrFeedForward feed_forward_;
};

struct DetrResults {
  std::vector<Value> features;  ///< of the backbone, [B, C, H', W']
  Value projected;              ///< the last of them, [B, d_model, H', W']
  Value memory;                 ///< [B, H' * W', d_model]
  Value hidden;                 ///< of the queries, [B, Q, d_model]
};

/// Encoder and decoder behind a backbone. Keys: backbone.position_embedding, input_projection,
/// query_position_embeddings, encoder.layers.{i}, decoder.{layers.{i}, layernorm}.
class Detr {
 public:
  /// `channels`: those of the backbone's last used features.
  Detr(const Scope& s, const DetrConfig& c, std::int64_t channels);
  DetrResults operator()(std::vector<Value> features) const;

 private:
  std::string path_;
  ImagePositions position_embedding_;
  nn::Conv2d input_projection_;
  Weight queries_;
  std::vector<DetrEncoderLayer> encoder_;
  std::vector<DetrDecoderLayer> decoder_;
  nn::LayerNorm norm_;
  bool norm_each_layer_;
};

/// The box of each query, as fractions of the image: [B, Q, 4]. Keys: layers.{i}.
Value detr_boxes(const Scope& s, std::int64_t width, Value x);

/// The mask of each query: [B, Q, H, W]. Keys: bbox_attention, mask_head. Throws ExportError(bad_config) if
/// the sizes of the backbone or the transformer have no mask head.
Value detr_masks(const Scope& root, const PretrainedConfig& config, const DetrConfig& c,
                 const DetrResults& r);

}  // namespace onnxport::models
