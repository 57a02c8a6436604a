/// Attention without a softmax, whose cost grows with the number of tokens and not with its square, and the
/// gated convolutions that go with it. (Katharopoulos et al. 2020; Cai et al. 2023)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// relu(q) (relu(k)^T v), divided by relu(q) times the sum of relu(k): [B, H, N, D] each -> [B, H, N, D].
/// Computed in float32. (diffusers.models.attention_processor.SanaLinearAttnProcessor2_0)
ONNXPORT_API Value relu_linear_attention(Value query, Value key, Value value);

/// The RMS norm of the channels of each pixel, with a bias. Keys: weight, bias [channels].
class ONNXPORT_API ChannelRmsNorm {
 public:
  ChannelRmsNorm(const Scope& s, std::int64_t channels, double eps = 1e-5);
  /// [B, channels, H, W] -> the same
  Value operator()(Value image) const;

 private:
  std::string path_;
  RmsNorm norm_;
  Weight bias_;
};

struct GatedConvParameters {
  std::int64_t channels = 0, inner = 0;
};

/// point(a * silu(gate)), where depth(silu(inverted(x))) gives a and the gate side by side. Keys:
/// conv_inverted, conv_depth, conv_point. (diffusers.models.transformers.sana_transformer.GLUMBConv)
class ONNXPORT_API GatedConv {
 public:
  GatedConv(const Scope& s, const GatedConvParameters& p);
  /// [B, channels, H, W] -> the same
  Value operator()(Value x) const;

 private:
  std::string path_;
  Conv2d inverted_, depth_, point_;
};

struct MultiscaleAttentionParameters {
  std::int64_t channels = 0, head_dim = 0;
  std::vector<std::int64_t> kernels = {};  ///< of the depthwise convolutions, one for each further scale

  std::int64_t heads() const { return channels / head_dim; }
};

/// Linear attention among the pixels of an image, at several scales, without the norm and the shortcut behind
/// it. Keys: to_q, to_k, to_v, to_qkv_multiscale.{i}.{proj_in, proj_out}, to_out. (diffusers.models.
/// attention_processor.SanaMultiscaleLinearAttention)
class ONNXPORT_API MultiscaleLinearAttention {
 public:
  MultiscaleLinearAttention(const Scope& s, const MultiscaleAttentionParameters& p);
  /// [B, channels, H, W] -> the same
  Value operator()(Value x) const;

 private:
  struct Scale {
    Conv2d depth, point;
  };
  std::string path_;
  std::int64_t head_dim_;
  Linear query_, key_, value_, output_;
  std::vector<Scale> scales_;
};

}  // namespace onnxport::nn
