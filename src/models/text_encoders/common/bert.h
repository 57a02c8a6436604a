/// Heads of BERT and its relatives.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "onnxport/inputs.h"
#include "onnxport/middle_end.h"
#include "onnxport/model.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/scope.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {

/// Text with token types: input_ids, attention_mask, token_type_ids.
class TypedTextOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override {
    return text_inputs({"input_ids", "attention_mask", "token_type_ids"});
  }
};

/// Embeddings and layers. Keys: embeddings, encoder.layer.
struct Bert {
  nn::TextEmbeddings embeddings;
  nn::PostNormEncoder encoder;

  Bert(const Scope& s, const TextEncoderConfig& c)
      : embeddings(s / "embeddings", c.embeddings()),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer()) {}

  Value operator()(const Inputs& in) const {
    const Value embedded = embeddings(in["input_ids"], in.get("token_type_ids"));
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    return encoder(embedded, mask);
  }
};

/// Keys: cls.predictions.{transform.dense, transform.LayerNorm, decoder, bias}. `words`: the table
/// [vocab_size, hidden_size] that the output layer shares unless config.json unties it.
/// `width`: that of the words, if it is not hidden_size.
nn::MaskedLmHead bert_lm_head(const Scope& root, const TextEncoderConfig& c, const Weight& words,
                              std::optional<std::int64_t> width = {});

/// The heads of all tasks around a pooler, [B, S, H] -> [B, H]. Key: classifier.
nn::TextEncoderHeads pooled_heads(const Scope& root, const TextEncoderConfig& c,
                                  std::function<Value(const Inputs&)> encode,
                                  std::function<Value(Value)> fill_mask, std::function<Value(Value)> pool);

/// The same under the keys of BERT: those of the masked language model, pooler.dense below `base`,
/// classifier.
nn::TextEncoderHeads bert_heads(const Scope& root, const Scope& base, const TextEncoderConfig& c,
                                const Weight& words, std::function<Value(const Inputs&)> encode);

/// All tasks of an encoder with the heads of BERT, whose keys lie below `name`. An `Encoder` is made of its
/// scope and a `Config`; its member `embeddings` has the words that the output layer may share.
template <class Encoder, class Config = TextEncoderConfig>
NamedValues build_with_bert_heads(const Inputs& inputs, const Model& model, const Component& component,
                                  const std::string& name) {
  const Config c(model.config());
  const Scope root = model.scope(), base = root.base_model(name);
  const Encoder encoder(base, c);
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     bert_heads(root, base, c, encoder.embeddings.words(), encoder));
}

}  // namespace onnxport::models
