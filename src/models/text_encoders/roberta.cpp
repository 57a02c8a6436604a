// RoBERTa. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/roberta/modeling_roberta.py
#include "models/text_encoders/common/roberta.h"
#include "models/common/definition.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

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

nn::MaskedLmHead lm_head(const Scope& root, const TextEncoderConfig& c,
                         const nn::TextEmbeddings& embeddings) {
  nn::MaskedLmHeadParameters head = c.masked_lm_head();
  head.bias = {"decoder.bias", "bias"};
  const Weight tied = c.tie_word_embeddings ? embeddings.words() : Weight();
  return {root / "lm_head", head, tied};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const TextEncoderConfig c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("roberta");
  const Roberta roberta(base, c, model.config().integer("pad_token_id"));
  const auto fill_mask = [&](Value hidden) { return lm_head(root, c, roberta.embeddings)(hidden); };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     roberta_heads(root, base, c, roberta, fill_mask));
}

Value logits_behind_encoder(nn::Seq2SeqPass& pass, const Model& model) {
  const TextEncoderConfig c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("roberta");
  const nn::TextEmbeddings embeddings(base / "embeddings", c.embeddings());
  const nn::PostNormDecoder decoder(base / "encoder" / "layer", c.num_hidden_layers, c.layer());
  const Value ids = pass.input_ids();
  const Value positions = nn::position_ids_from_input_ids(ids, model.config().integer("pad_token_id"));
  const Value hidden = decoder(embeddings(ids, {}, positions), pass);
  return lm_head(root, c, embeddings)(hidden);
}

}  // namespace

void register_roberta(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "roberta",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .key_names = tied("roberta.embeddings.word_embeddings", "lm_head.decoder"),
       .roles = {.cross_decoder = CrossDecoder{logits_behind_encoder}}});
}

}  // namespace onnxport::models
