/// Encoders with norms before attention and feed-forward.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxport/graph.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/scope.h"

namespace onnxport::nn {

/// Optional features. The scales are learned weights [H] after attention and feed-forward, given by the key
/// of the tensor below the layer. (Touvron et al. 2021)
struct PreNormOptions {
  std::string attention_scale = {}, output_scale = {};  ///< empty: none
  /// Gated feed-forward: down(activation(a) * b), where `up` computes a and b side by side. (Shazeer 2020)
  bool gated = false;
};

/// x + attention(norm(x)), then x + feed-forward(norm(x)). (Xiong et al. 2020) The keys are those of
/// EncoderLayerParameters: `attention_norm` and `output_norm` come before attention and feed-forward.
class ONNXPORT_API PreNormEncoderLayer {
 public:
  PreNormEncoderLayer(const Scope& s, const EncoderLayerParameters& p, const PreNormOptions& options = {});
  /// x [B, S, H] -> [B, S, H]
  Value operator()(Value x, const op::AttentionMask& mask = {}) const;

 private:
  std::string path_;
  LayerNorm attention_norm_;
  SelfAttention attention_;
  LayerNorm output_norm_;
  Linear up_, down_;
  Activation activation_;
  Weight attention_scale_, output_scale_;  // empty: none
  bool gated_;
};

/// Layers `s / 0`, `s / 1`, …
class ONNXPORT_API PreNormEncoder {
 public:
  PreNormEncoder(const Scope& s, std::int64_t layers, const EncoderLayerParameters& p,
                 const PreNormOptions& options = {});
  Value operator()(Value x, const op::AttentionMask& mask = {}) const;
  /// x, then the result of each layer: all [B, S, H].
  std::vector<Value> states(Value x, const op::AttentionMask& mask = {}) const;
  /// For models that do something between layers.
  const std::vector<PreNormEncoderLayer>& layers() const { return layers_; }

 private:
  std::vector<PreNormEncoderLayer> layers_;
};

}  // namespace onnxport::nn
