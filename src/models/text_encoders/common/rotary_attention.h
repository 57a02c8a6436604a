/// Self-attention both ways with rotary positions.
#pragma once

#include <string>

#include "onnxport/graph.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/op.h"
#include "onnxport/scope.h"
#include "onnxport/weight.h"

namespace onnxport::models {

/// What all layers share.
struct RotarySight {
  op::AttentionMask mask;
  op::Rope rope;
};
/// Padding hides keys, and tokens are at the positions 0, 1, 2, … A query that sees no key gets 0.
RotarySight rotary_sight(Value input_ids, Value attention_mask, const nn::RopeParameters& rope);

/// x [B, S, H] -> [B, S, H], with maybe fewer key heads than query heads.
struct RotaryAttention {
  std::string path;
  nn::HeadSizes sizes;
  nn::Linear query, key, value, output;
  Weight sinks = {};  ///< as in op::AttentionOperands

  Value operator()(Value x, const RotarySight& sight) const;
};

/// x + attention(norm(x)), then x + mlp(norm(x)). (Xiong et al. 2020)
struct RotaryPreNormLayer {
  std::string path;
  nn::Norm before_attention;
  RotaryAttention attention;
  nn::Norm before_mlp;
  nn::FeedForward mlp;

  Value operator()(Value x, const RotarySight& sight) const;
};

}  // namespace onnxport::models
