/// Parts of DETR: a transformer that finds objects with learned queries, and its heads.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "models/common/definition.h"
#include "models/vision/common/detector.h"
#include "models/vision/common/image_positions.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {

/// Where a layer has its norms.
enum class NormPlace : std::uint8_t { behind, before };

/// Throws ExportError(bad_config) for sizes that do not fit each other.
struct DetrConfig {
  explicit DetrConfig(const PretrainedConfig& config, NormPlace norms = NormPlace::behind);

  std::int64_t d_model, num_queries, num_labels;
  std::int64_t encoder_layers, encoder_heads, encoder_ffn_dim, decoder_layers, decoder_heads, decoder_ffn_dim;
  std::string activation;
  ImagePositionsKind positions;
  NormPlace norms;
  bool norm_each_layer;  ///< the states between the decoder's layers, too
};

/// Attention of queries to keys and values with different positions. Keys: q_proj, k_proj, v_proj, out_proj.
class DetrAttention {
 public:
  DetrAttention(const Scope& s, std::int64_t width, std::int64_t heads);
  /// `seen`, bool [B, S]: the keys that count; absent: all.
  Value operator()(Value query_input, Value key_input, Value value_input, Value seen = {}) const;
  /// The result where all values are the same, [1, 1, width], for every query.
  Value of_equal(Value value) const;

 private:
  std::string path_;
  std::int64_t heads_;
  nn::Linear q_proj_, k_proj_, v_proj_, out_proj_;
};

/// A part of a layer with its residual: norm(x + part(x)), or x + part(norm(x)).
class DetrResidual {
 public:
  DetrResidual(const Scope& s, std::int64_t width, NormPlace norms);
  template <class Part>
  Value operator()(Value x, const Part& part) const {
    if (norms_ == NormPlace::before) return op::add(x, part(norm(x)));
    return norm(op::add(x, part(x)));
  }
  NormPlace place() const { return norms_; }
  Value norm(Value x) const { return norm_(x); }

 private:
  nn::LayerNorm norm_;
  NormPlace norms_;
};

/// With its residual and norm. Keys: fc1, fc2, final_layer_norm.
class DetrFeedForward {
 public:
  DetrFeedForward(const Scope& s, std::int64_t width, std::int64_t inner, const std::string& activation,
                  NormPlace norms = NormPlace::behind);
  Value operator()(Value x) const;

 private:
  nn::Linear fc1_, fc2_;
  nn::Activation activation_;
  DetrResidual residual_;
};

/// Keys: self_attn, self_attn_layer_norm, and those of the feed-forward.
class DetrEncoderLayer {
 public:
  DetrEncoderLayer(const Scope& s, const DetrConfig& c);
  Value operator()(Value x, Value positions, Value seen) const;

 private:
  std::string path_;
  DetrAttention self_attn_;
  DetrResidual self_attn_residual_;
  DetrFeedForward feed_forward_;
};

/// What the encoder gives the decoder.
struct DetrMemory {
  Value projected;  ///< the image, [B, d_model, H', W']
  Value tokens;     ///< [B, H' * W', d_model]
  Value positions;  ///< [1 or B, H' * W', d_model]
  Value seen;       ///< bool [B, H' * W']: the real pixels; absent: all are
};

/// Keys: backbone.position_embedding, input_projection, encoder.layers.{i}; and encoder.layernorm, if layers
/// have their norms before them.
class DetrEncoder {
 public:
  /// `channels`: those of the image.
  DetrEncoder(const Scope& s, const DetrConfig& c, std::int64_t channels);
  /// The last features of a backbone, [B, channels, H', W'], and the mask of the whole image, or none.
  DetrMemory operator()(Value image, Value pixel_mask) const;

 private:
  std::string path_;
  ImagePositions position_embedding_;
  nn::Conv2d input_projection_;
  std::vector<DetrEncoderLayer> layers_;
  std::optional<nn::LayerNorm> norm_;
};

/// Keys: self_attn, encoder_attn, a norm of each, and those of the feed-forward.
class DetrDecoderLayer {
 public:
  DetrDecoderLayer(const Scope& s, const DetrConfig& c);
  /// x: the state of the queries [Q, d_model]; absent in the first layer, where it is zero. `placed`: the
  /// memory's tokens with their positions.
  Value operator()(Value x, Value queries, const DetrMemory& memory, Value placed) const;

 private:
  Value of_zeros(Graph& graph) const;

  std::string path_;
  std::int64_t width_;
  DetrAttention self_attn_, encoder_attn_;
  DetrResidual self_attn_residual_, encoder_attn_residual_;
  DetrFeedForward feed_forward_;
};

/// Keys: query_position_embeddings, decoder.{layers.{i}, layernorm}.
class DetrDecoder {
 public:
  DetrDecoder(const Scope& s, const DetrConfig& c);
  /// The states of the queries, [B, Q, d_model].
  Value operator()(const DetrMemory& memory) const;

 private:
  std::string path_;
  Weight queries_;
  std::vector<DetrDecoderLayer> layers_;
  nn::LayerNorm norm_;
  bool norm_each_layer_;
};

struct DetrResults {
  std::vector<Value> features;  ///< of the backbone, [B, C, H', W']
  DetrMemory memory;
  Value hidden;  ///< of the queries, [B, Q, d_model]
};

/// The backbone of `model` (at `base`), encoder and decoder. Takes pixel_values, and pixel_mask if there is
/// one.
DetrResults run_detr(const TasksManager& tasks, const Inputs& inputs, const Model& model, const Scope& base,
                     const DetrConfig& c);

/// last_hidden_state, or the logits and boxes of object-detection. `detection`: the scope of the heads.
NamedValues detr_outputs(const Scope& detection, const DetrConfig& c, const DetrResults& r,
                         const Component& component);

/// The box of each query, as fractions of the image: [B, Q, 4]. Keys: layers.{i}.
Value detr_boxes(const Scope& s, std::int64_t width, Value x);

/// The mask of each query: [B, Q, H, W]. Keys: bbox_attention, mask_head. Throws ExportError(bad_config) if
/// the sizes of the backbone or the transformer have no mask head.
Value detr_masks(const Scope& root, const PretrainedConfig& config, const DetrConfig& c,
                 const DetrResults& r);

}  // namespace onnxport::models
