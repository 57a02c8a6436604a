// RoBERTa. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/roberta/modeling_roberta.py
#include "models/text_encoders/common/roberta.h"
#include "models/common/definition.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_roberta(inputs, model, component, "roberta");
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
  return roberta_lm_head(root, c, embeddings.words())(hidden);
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
