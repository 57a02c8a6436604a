// RemBERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/rembert/modeling_rembert.py
// BERT with narrow input embeddings and wide output embeddings.
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/refuse.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

struct Config : TextEncoderConfig {
  std::int64_t input_embedding_size, output_embedding_size;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c),
        input_embedding_size(c.integer("input_embedding_size")),
        output_embedding_size(c.integer("output_embedding_size")) {
    if (tie_word_embeddings && input_embedding_size != output_embedding_size)
      refuse(c, fmt::format("tie_word_embeddings is true, but output_embedding_size is {}, not {}",
                            output_embedding_size, input_embedding_size));
  }

  nn::TextEmbeddingsParameters narrow_embeddings() const {
    nn::TextEmbeddingsParameters p = embeddings();
    p.width = input_embedding_size;
    p.add_positions = true;
    return p;
  }
};

struct RemBert {
  nn::TextEmbeddings embeddings;
  nn::Linear embedding_hidden_mapping_in;
  nn::PostNormEncoder encoder;

  RemBert(const Scope& s, const Config& c)
      : embeddings(s / "embeddings", c.narrow_embeddings()),
        embedding_hidden_mapping_in(s / "encoder" / "embedding_hidden_mapping_in", c.input_embedding_size,
                                    c.hidden_size),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer()) {}

  Value operator()(const Inputs& in) const {
    const Value embedded = embedding_hidden_mapping_in(embeddings(in["input_ids"], in.get("token_type_ids")));
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    return encoder(embedded, mask);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("rembert");
  const RemBert rembert(base, c);
  const auto fill_mask = [&](Value hidden) {
    nn::MaskedLmHeadParameters head = c.masked_lm_head();
    head.width = c.output_embedding_size;
    head.activation = c.hidden_act;
    head.norm = "LayerNorm";
    head.bias = {"decoder.bias"};
    const Weight tied = c.tie_word_embeddings ? rembert.embeddings.words() : Weight();
    return nn::MaskedLmHead(root / "cls" / "predictions", head, tied)(hidden);
  };
  const auto pool = [&](Value hidden) {
    return nn::Pooler(base / "pooler" / "dense", c.hidden_size)(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     pooled_heads(root, c, rembert, fill_mask, pool));
}

}  // namespace

void register_rembert(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "rembert",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .key_names = tied("rembert.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
