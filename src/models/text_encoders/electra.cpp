// ELECTRA. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/electra/modeling_electra.py
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/sequence_summary.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

struct Config : TextEncoderConfig {
  std::int64_t embedding_size;
  SequenceSummary summary;

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c), embedding_size(c.integer("embedding_size")), summary(c) {}
};

struct Electra {
  nn::TextEmbeddings embeddings;
  std::optional<nn::Linear> embeddings_project;
  nn::PostNormEncoder encoder;

  static nn::TextEmbeddingsParameters narrow(const Config& c) {
    nn::TextEmbeddingsParameters p = c.embeddings();
    p.width = c.embedding_size;
    return p;
  }

  Electra(const Scope& s, const Config& c)
      : embeddings(s / "embeddings", narrow(c)),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer()) {
    if (c.embedding_size != c.hidden_size)
      embeddings_project.emplace(s / "embeddings_project", c.embedding_size, c.hidden_size);
  }

  Value operator()(const Inputs& in) const {
    Value embedded = embeddings(in["input_ids"], in.get("token_type_ids"));
    if (embeddings_project) embedded = (*embeddings_project)(embedded);
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    return encoder(embedded, mask);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Electra electra(root.base_model("electra"), c);
  const auto fill_mask = [&](Value hidden) {
    nn::MaskedLmHeadParameters head = c.masked_lm_head();
    head.width = c.embedding_size;
    head.dense = "generator_predictions.dense";
    head.norm = "generator_predictions.LayerNorm";
    head.decoder = "generator_lm_head";
    head.bias = {"generator_lm_head.bias"};
    return nn::MaskedLmHead(root, head,
                            c.tie_word_embeddings ? electra.embeddings.words() : Weight())(hidden);
  };
  const auto classify = [&](Value hidden) {
    return nn::ClassificationHead(root / "classifier", c.hidden_size, c.num_labels, "gelu")(hidden);
  };
  const auto summary = [&](Value hidden) { return c.summary(hidden, root / "sequence_summary"); };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     {.encode = electra,
                                      .fill_mask = fill_mask,
                                      .classify = classify,
                                      .summarize = summary,
                                      .hidden_size = c.hidden_size,
                                      .num_labels = c.num_labels});
}

}  // namespace

void register_electra(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "electra",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"discriminator_predictions.*"},
       .key_names = tied("electra.embeddings.word_embeddings", "generator_lm_head")});
}

}  // namespace onnxport::models
