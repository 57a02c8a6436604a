/// RoBERTa and its relatives.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "onnxport/inputs.h"
#include "onnxport/model.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/plan.h"
#include "onnxport/scope.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {

/// Embeddings and layers. Keys: embeddings, encoder.layer.
struct Roberta {
  nn::TextEmbeddings embeddings;
  nn::PostNormEncoder encoder;
  std::int64_t pad_token_id;

  Roberta(const Scope& s, const TextEncoderConfig& c, std::int64_t pad)
      : embeddings(s / "embeddings", c.embeddings()),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer()),
        pad_token_id(pad) {}

  Value operator()(const Inputs& in) const {
    const Value positions = nn::position_ids_from_input_ids(in["input_ids"], pad_token_id);
    const Value embedded = embeddings(in["input_ids"], in.get("token_type_ids"), positions);
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    return encoder(embedded, mask);
  }
};

/// The heads of all tasks. Keys: pooler.dense below `base`, classifier.{dense, out_proj}. `fill_mask`: the
/// head of the masked language model, hidden states [B, S, H] -> logits [B, S, V].
nn::TextEncoderHeads roberta_heads(const Scope& root, const Scope& base, const TextEncoderConfig& c,
                                   std::function<Value(const Inputs&)> encode,
                                   std::function<Value(Value)> fill_mask);

/// Keys: lm_head.{dense, layer_norm, decoder, bias}. `words`: the table [vocab_size, hidden_size] that the
/// output layer shares unless config.json unties it.
nn::MaskedLmHead roberta_lm_head(const Scope& root, const TextEncoderConfig& c, const Weight& words);

/// The outputs of a task of RoBERTa, whose base model has the given prefix.
NamedValues build_roberta(const Inputs& inputs, const Model& model, const Component& component,
                          const char* prefix);

/// The keys of a relative with norms before attention and feed-forward.
struct PreNormRobertaKeys {
  const char* prefix;  ///< of the base model
  bool embeddings_norm;
  std::string attention_norm, output_norm;  ///< below a layer
  std::string last_norm;                    ///< below the base model
};

/// The outputs of a task of such a relative.
NamedValues build_pre_norm_roberta(const Inputs& inputs, const Model& model, const Component& component,
                                   const PreNormRobertaKeys& keys);

}  // namespace onnxport::models
