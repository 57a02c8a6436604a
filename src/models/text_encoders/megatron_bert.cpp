// Megatron-BERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/megatron_bert/modeling_megatron_bert.py
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/pre_norm_encoder.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

struct MegatronBert {
  nn::TextEmbeddings embeddings;
  nn::PreNormEncoder encoder;
  nn::LayerNorm ln;

  static nn::TextEmbeddingsParameters embedded(const TextEncoderConfig& c) {
    nn::TextEmbeddingsParameters p = c.embeddings();
    p.norm = false;
    return p;
  }
  static nn::EncoderLayerParameters layer(const TextEncoderConfig& c) {
    nn::EncoderLayerParameters p = c.layer();
    p.attention_norm = "attention.ln";
    p.output_norm = "ln";
    return p;
  }

  MegatronBert(const Scope& s, const TextEncoderConfig& c)
      : embeddings(s / "embeddings", embedded(c)),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, layer(c)),
        ln(s / "encoder" / "ln", c.hidden_size, c.layer_norm_eps) {}

  Value operator()(const Inputs& in) const {
    const Value words = embeddings(in["input_ids"], in.get("token_type_ids"));
    return ln(encoder(words, nn::padding_mask(in.get("attention_mask"))));
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_with_bert_heads<MegatronBert>(inputs, model, component, "bert");
}

}  // namespace

void register_megatron_bert(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "megatron-bert",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"cls.seq_relationship.*"},
       .key_names = tied("bert.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
