/// Heads of BERT and its relatives.
#pragma once

#include <functional>

#include "onnxport/inputs.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/scope.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {

/// Keys: cls.predictions.{transform.dense, transform.LayerNorm, decoder, bias}. `words`: the table
/// [vocab_size, hidden_size] that the output layer shares unless config.json unties it.
nn::MaskedLmHead bert_lm_head(const Scope& root, const TextEncoderConfig& c, const Weight& words);

/// The heads of all tasks around a pooler, [B, S, H] -> [B, H]. Key: classifier.
nn::TextEncoderHeads pooled_heads(const Scope& root, const TextEncoderConfig& c,
                                  std::function<Value(const Inputs&)> encode,
                                  std::function<Value(Value)> fill_mask, std::function<Value(Value)> pool);

/// The same under the keys of BERT: those of the masked language model, pooler.dense below `base`,
/// classifier.
nn::TextEncoderHeads bert_heads(const Scope& root, const Scope& base, const TextEncoderConfig& c,
                                const Weight& words, std::function<Value(const Inputs&)> encode);

}  // namespace onnxport::models
