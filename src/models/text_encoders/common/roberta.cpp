#include "models/text_encoders/common/roberta.h"

#include <utility>

#include "onnxport/nn/attention.h"
#include "onnxport/op.h"

namespace onnxport::models {
namespace {

struct PreNormRoberta {
  nn::TextEmbeddings embeddings;
  nn::PreNormEncoder encoder;
  nn::LayerNorm last_norm;
  std::int64_t pad_token_id;

  static nn::TextEmbeddingsParameters embedded(const TextEncoderConfig& c, const PreNormRobertaKeys& keys) {
    nn::TextEmbeddingsParameters p = c.embeddings();
    p.norm = keys.embeddings_norm;
    return p;
  }
  static nn::EncoderLayerParameters layer(const TextEncoderConfig& c, const PreNormRobertaKeys& keys) {
    nn::EncoderLayerParameters p = c.layer();
    p.attention_norm = keys.attention_norm;
    p.output_norm = keys.output_norm;
    return p;
  }

  PreNormRoberta(const Scope& s, const TextEncoderConfig& c, std::int64_t pad, const PreNormRobertaKeys& keys)
      : embeddings(s / "embeddings", embedded(c, keys)),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, layer(c, keys)),
        last_norm(s / keys.last_norm, c.hidden_size, c.layer_norm_eps),
        pad_token_id(pad) {}

  Value operator()(const Inputs& in) const {
    const Value positions = nn::position_ids_from_input_ids(in["input_ids"], pad_token_id);
    const Value words = embeddings(in["input_ids"], in.get("token_type_ids"), positions);
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    return last_norm(encoder(words, mask));
  }
};

template <class Encoder>
NamedValues build(const Inputs& inputs, const Component& component, const Scope& root, const Scope& base,
                  const TextEncoderConfig& c, const Encoder& encoder) {
  const auto fill_mask = [&](Value hidden) {
    return roberta_lm_head(root, c, encoder.embeddings.words())(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     roberta_heads(root, base, c, encoder, fill_mask));
}

}  // namespace

nn::TextEncoderHeads roberta_heads(const Scope& root, const Scope& base, const TextEncoderConfig& c,
                                   std::function<Value(const Inputs&)> encode,
                                   std::function<Value(Value)> fill_mask) {
  const auto pool = [=](Value hidden) {
    return nn::Pooler(base / "pooler" / "dense", c.hidden_size)(hidden);
  };
  const auto classify = [=](Value hidden) {
    return nn::ClassificationHead(root / "classifier", c.hidden_size, c.num_labels, "tanh")(hidden);
  };
  return {.encode = std::move(encode),
          .fill_mask = std::move(fill_mask),
          .classify = classify,
          .summarize = pool,
          .hidden_size = c.hidden_size,
          .num_labels = c.num_labels};
}

nn::MaskedLmHead roberta_lm_head(const Scope& root, const TextEncoderConfig& c, const Weight& words) {
  nn::MaskedLmHeadParameters head = c.masked_lm_head();
  head.bias = {"decoder.bias", "bias"};
  return {root / "lm_head", head, c.tie_word_embeddings ? words : Weight()};
}

NamedValues build_roberta(const Inputs& inputs, const Model& model, const Component& component,
                          const char* prefix) {
  const TextEncoderConfig c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model(prefix);
  const Roberta roberta(base, c, model.config().integer("pad_token_id"));
  return build(inputs, component, root, base, c, roberta);
}

NamedValues build_pre_norm_roberta(const Inputs& inputs, const Model& model, const Component& component,
                                   const PreNormRobertaKeys& keys) {
  const TextEncoderConfig c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model(keys.prefix);
  const PreNormRoberta roberta(base, c, model.config().integer("pad_token_id"), keys);
  return build(inputs, component, root, base, c, roberta);
}

}  // namespace onnxport::models
