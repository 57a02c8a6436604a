/// The parts of raw speech encoders (Baevski et al. 2020).
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

// ---- from samples to features ----

struct FeatureEncoderParameters {
  /// One entry per convolution.
  std::vector<std::int64_t> channels, kernels, strides;
  bool bias = false;
  /// true: each convolution has a norm over its channels. false: only the first has one, over time.
  bool layer_norm = false;
  std::string activation = "gelu";
};

/// Convolutions over samples. Keys: conv_layers.{i}.{conv, layer_norm}.
class ONNXPORT_API FeatureEncoder {
 public:
  FeatureEncoder(const Scope& s, const FeatureEncoderParameters& p);
  /// [B, samples] -> [B, L, channels]
  Value operator()(Value samples) const;

 private:
  struct Layer {
    std::string path;
    Conv1d conv;
    std::optional<GroupNorm> over_time;
    std::optional<LayerNorm> over_channels;
  };
  std::string path_;
  std::vector<Layer> layers_;
  Activation activation_;
};

/// projection(layer_norm(features)). Keys: projection, layer_norm.
class ONNXPORT_API FeatureProjection {
 public:
  /// `eps` absent: no norm.
  FeatureProjection(const Scope& s, std::int64_t in, std::int64_t out, std::optional<double> eps);
  Value operator()(Value features) const;

 private:
  std::string path_;
  std::optional<LayerNorm> norm_;
  Linear projection_;
};

// ---- encoder ----

struct PositionalConvParameters {
  std::int64_t width = 0;
  std::int64_t kernel = 128;
  std::int64_t groups = 16;
  std::string activation = "gelu";
  std::int64_t stride = 1;
  /// true: a batch norm before the convolution. false: the convolution has a weight norm.
  bool batch_norm = false;
};

/// Relative positions from a convolution over time. The result has the length of the input, divided by the
/// stride and rounded up. Keys: conv, batch_norm.
class ONNXPORT_API PositionalConv {
 public:
  PositionalConv(const Scope& s, const PositionalConvParameters& p);
  /// [B, L, width] -> [B, ceil(L / stride), width], the term to add to it
  Value operator()(Value x) const;

 private:
  std::string path_;
  std::optional<BatchNorm2d> norm_;
  Conv1d conv_;
  Activation activation_;
};

/// x + attention(x) and then x + feed-forward(x), each followed by a norm; or, with `pre_norm`, with norms
/// before attention and feed-forward. The keys are those of the parameters.
class ONNXPORT_API SpeechLayer {
 public:
  SpeechLayer(const Scope& s, const EncoderLayerParameters& p, bool pre_norm);
  /// With another attention, [B, L, H] -> [B, L, H].
  SpeechLayer(const Scope& s, const EncoderLayerParameters& p, bool pre_norm, FeedForward attention);
  /// x [B, L, H] -> [B, L, H]
  Value operator()(Value x) const;

 private:
  std::string path_;
  FeedForward attention_;
  LayerNorm attention_norm_;
  Mlp feed_forward_;
  LayerNorm output_norm_;
  bool pre_norm_;
};

struct SpeechEncoderParameters {
  PositionalConvParameters positions;
  std::int64_t layers = 0;
  EncoderLayerParameters layer;
  /// Norms before attention and feed-forward, and one after all layers, instead of norms after attention and
  /// feed-forward.
  bool pre_norm = false;
  /// Width of an adapter after each pre-norm layer (Houlsby et al. 2019); absent: no adapters.
  std::optional<std::int64_t> adapter_width = {};
  /// In place of the positional convolution: x [B, L, H] -> the term to add to it.
  std::function<Value(Value)> make_positions = {};
  /// In place of self-attention: the attention of a layer, whose keys lie below `s`.
  std::function<FeedForward(const Scope& s, std::int64_t layer)> make_attention = {};
};

/// Keys: pos_conv_embed, layer_norm, layers.{i}; and adapter_layer.{norm, linear_1, linear_2} below a layer
/// with an adapter.
class ONNXPORT_API SpeechEncoder {
 public:
  SpeechEncoder(const Scope& s, const SpeechEncoderParameters& p);
  /// [B, L, H] -> all hidden states, starting with the input of the first layer: layers + 1 times [B, L, H]
  std::vector<Value> operator()(Value x) const;

 private:
  struct Adapter {
    LayerNorm norm;
    Linear down, up;
  };
  std::string path_;
  std::function<Value(Value)> positions_;
  LayerNorm norm_;
  std::vector<SpeechLayer> layers_;
  std::vector<Adapter> adapters_;
  bool pre_norm_;
};

// ---- after the encoder ----

struct ConvAdapterParameters {
  std::int64_t in = 0, out = 0;
  std::int64_t layers = 3;
  std::int64_t kernel = 3;
  std::int64_t stride = 2;
};

/// Gated convolutions that shorten the encoder's output. Keys: layers.{i}.conv; also proj, proj_layer_norm if
/// the widths differ.
class ONNXPORT_API ConvAdapter {
 public:
  ConvAdapter(const Scope& s, const ConvAdapterParameters& p);
  /// [B, L, in] -> [B, L', out]
  Value operator()(Value x) const;

 private:
  std::string path_;
  std::optional<Linear> projection_;
  std::optional<LayerNorm> norm_;
  std::vector<Conv1d> layers_;
};

}  // namespace onnxport::nn
