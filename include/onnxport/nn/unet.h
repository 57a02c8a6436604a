/// Parts of U-shaped networks and of autoencoders for images: residual blocks with a time embedding, up- and
/// downsampling, attention over the pixels of an image.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

struct ResnetBlock2dParameters {
  std::int64_t in = 0, out = 0;  ///< channels
  std::int64_t time = 0;         ///< width of the time embedding; 0: none
  std::int64_t groups = 32;
  double eps = 1e-6;
  std::string activation = "silu";
  bool scale_shift = false;  ///< the time embedding scales and shifts after the second norm
  double divisor = 1;        ///< of the sum with the shortcut
};

/// conv2(act(norm2(conv1(act(norm1(x))) + time))) and a shortcut. Keys: norm1, conv1, norm2, conv2; with a
/// time embedding time_emb_proj; conv_shortcut where the channels differ. (diffusers.models.resnet.
/// ResnetBlock2D)
class ONNXPORT_API ResnetBlock2d {
 public:
  ResnetBlock2d(const Scope& s, const ResnetBlock2dParameters& p);
  /// x [B, in, H, W], time [B or 1, time], after its activation, or absent -> [B, out, H, W]
  Value operator()(Value x, Value time = {}) const;

 private:
  std::string path_;
  GroupNorm norm1_, norm2_;
  Conv2d conv1_, conv2_;
  std::optional<Linear> time_;
  std::optional<Conv2d> shortcut_;
  Activation activation_;
  bool scale_shift_;
  double divisor_;
};

/// A convolution of stride 2. Keys: conv [channels, channels, 3, 3]. `padding` 0: one row and column of zeros
/// after the image. (diffusers.models.downsampling.Downsample2D)
class ONNXPORT_API Downsample2d {
 public:
  Downsample2d(const Scope& s, std::int64_t channels, std::int64_t padding);
  /// [B, channels, H, W] -> [B, channels, H', W']
  Value operator()(Value x) const { return conv_(x); }

 private:
  Conv2d conv_;
};

/// Nearest neighbours, then a convolution. Keys: conv [channels, channels, 3, 3].
/// (diffusers.models.upsampling.Upsample2D)
class ONNXPORT_API Upsample2d {
 public:
  Upsample2d(const Scope& s, std::int64_t channels);
  /// [B, channels, H, W] -> [B, channels, height, width]
  Value operator()(Value x, const Dim& height, const Dim& width) const;

 private:
  std::string path_;
  Conv2d conv_;
};

/// Attention of one head among the pixels of an image, after a group norm, with a shortcut. Keys: group_norm,
/// to_q, to_k, to_v, to_out.0; older checkpoints: query, key, value, proj_attn.
/// (diffusers.models.attention_processor.Attention with residual_connection)
class ONNXPORT_API PixelAttention {
 public:
  PixelAttention(const Scope& s, std::int64_t channels, std::int64_t groups, double eps);
  /// [B, channels, H, W] -> the same
  Value operator()(Value x) const;

 private:
  std::string path_;
  GroupNorm norm_;
  Linear query_, key_, value_, output_;
};

struct TokenAttentionParameters {
  std::int64_t width = 0;    ///< of the tokens
  std::int64_t context = 0;  ///< width of the tokens that are attended to
  std::int64_t heads = 0, head_dim = 0;
  bool float32_scores = false;  ///< computes in float32 in half precision (`upcast_attention`)
  bool bias = false;            ///< to_q, to_k and to_v have one
  /// Queries and keys have an RMS norm over all heads, with this eps.
  std::optional<double> norm_eps = {};
};

/// Attention to other tokens, or to the tokens themselves. Keys: to_q, to_k, to_v, to_out.0; with norms
/// norm_q and norm_k. (diffusers.models.attention_processor.Attention)
class ONNXPORT_API TokenAttention {
 public:
  TokenAttention(const Scope& s, const TokenAttentionParameters& p);
  /// x [B, L, width], context [B, S, context] -> [B, L, width]
  Value operator()(Value x, Value context, const op::AttentionMask& mask = {}) const;

 private:
  std::string path_;
  std::int64_t heads_;
  bool float32_scores_;
  Linear query_, key_, value_, output_;
  std::optional<RmsNorm> query_norm_, key_norm_;
};

/// net.2(a * gelu(b)), where net.0.proj gives a and b side by side. (Shazeer 2020;
/// diffusers.models.attention. FeedForward with geglu)
class ONNXPORT_API GegluFeedForward {
 public:
  GegluFeedForward(const Scope& s, std::int64_t width);
  /// [B, L, width] -> the same
  Value operator()(Value x) const;

 private:
  std::string path_;
  Linear up_, down_;
};

struct SpatialTransformerParameters {
  std::int64_t channels = 0;
  std::int64_t layers = 1;
  std::int64_t heads = 0;
  std::int64_t context = 0;  ///< width of the tokens of the text
  std::int64_t groups = 32;
  bool linear = false;  ///< the projections are linear layers instead of convolutions
  bool float32_scores = false;
};

/// Blocks of self-attention, attention to the text, and a gated feed-forward, over the pixels of an image.
/// Keys: norm, proj_in, transformer_blocks.{i}.{norm1, attn1, norm2, attn2, norm3, ff}, proj_out. (Rombach et
/// al. 2022; diffusers.Transformer2DModel)
class ONNXPORT_API SpatialTransformer {
 public:
  SpatialTransformer(const Scope& s, const SpatialTransformerParameters& p);
  /// x [B, channels, H, W], text [B, S, context] -> [B, channels, H, W]
  Value operator()(Value x, Value text) const;

 private:
  struct Block {
    std::string path;
    LayerNorm norm1, norm2, norm3;
    TokenAttention to_itself, to_text;
    GegluFeedForward feed_forward;
  };
  std::string path_;
  GroupNorm norm_;
  std::optional<Linear> linear_in_, linear_out_;
  std::optional<Conv2d> conv_in_, conv_out_;
  std::vector<Block> blocks_;
};

}  // namespace onnxport::nn
