/// Heads of RoBERTa and its relatives.
#pragma once

#include <functional>

#include "onnxport/inputs.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/scope.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {

/// The heads of all tasks. Keys: pooler.dense below `base`, classifier.{dense, out_proj}. `fill_mask`: the
/// head of the masked language model, hidden states [B, S, H] -> logits [B, S, V].
nn::TextEncoderHeads roberta_heads(const Scope& root, const Scope& base, const TextEncoderConfig& c,
                                   std::function<Value(const Inputs&)> encode,
                                   std::function<Value(Value)> fill_mask);

}  // namespace onnxport::models
