// ERNIE. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/ernie/modeling_ernie.py
// BERT with a table of tasks in the embeddings.
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

struct Config : TextEncoderConfig {
  std::int64_t task_types;  // 0: none

  explicit Config(const PretrainedConfig& c)
      : TextEncoderConfig(c), task_types(c.flag("use_task_id") ? c.integer("task_type_vocab_size") : 0) {
    c.harmless({"task_type_vocab_size"});  // without use_task_id, there is no such table
  }

  nn::TextEmbeddingsParameters bare_embeddings() const {
    nn::TextEmbeddingsParameters p = embeddings();
    p.norm = false;
    return p;
  }
};

struct Ernie {
  nn::TextEmbeddings embeddings;
  std::optional<nn::Embedding> task_type_embeddings;
  nn::LayerNorm norm;
  nn::PostNormEncoder encoder;

  Ernie(const Scope& s, const Config& c)
      : embeddings(s / "embeddings", c.bare_embeddings()),
        norm(s / "embeddings" / "LayerNorm", c.hidden_size, c.layer_norm_eps),
        encoder(s / "encoder" / "layer", c.num_hidden_layers, c.layer()) {
    if (c.task_types > 0)
      task_type_embeddings.emplace(s / "embeddings" / "task_type_embeddings", c.task_types, c.hidden_size);
  }

  Value operator()(const Inputs& in) const {
    Value x = embeddings(in["input_ids"], in.get("token_type_ids"));
    if (task_type_embeddings) x = op::add(x, task_type_embeddings->first(x.graph(), 1));  // task 0
    const Value embedded = norm(x);
    const op::AttentionMask mask = nn::padding_mask(in.get("attention_mask"));
    return encoder(embedded, mask);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_with_bert_heads<Ernie, Config>(inputs, model, component, "ernie");
}

}  // namespace

void register_ernie(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "ernie",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"cls.seq_relationship.*"},
       .key_names = tied("ernie.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
