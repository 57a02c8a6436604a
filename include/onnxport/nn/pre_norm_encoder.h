/// Encoders whose norms stand in front of attention and feed-forward.
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

/// x + attention(norm(x)), then x + feed-forward(norm(x)). (Xiong et al. 2020) The keys are those of
/// EncoderLayerParameters: `attention_norm` and `output_norm` stand in front of what they are named after.
class ONNXPORT_API PreNormEncoderLayer {
 public:
  PreNormEncoderLayer(const Scope& s, const EncoderLayerParameters& p);
  /// x [B, S, H], additive mask or absent -> [B, S, H]
  Value operator()(Value x, Value mask = {}) const;

 private:
  std::string path_;
  LayerNorm attention_norm_;
  SelfAttention attention_;
  LayerNorm output_norm_;
  Linear up_, down_;
  Activation activation_;
};

/// Layers `s / 0`, `s / 1`, …
class ONNXPORT_API PreNormEncoder {
 public:
  PreNormEncoder(const Scope& s, std::int64_t layers, const EncoderLayerParameters& p);
  Value operator()(Value x, Value mask = {}) const;

 private:
  std::vector<PreNormEncoderLayer> layers_;
};

}  // namespace onnxport::nn
