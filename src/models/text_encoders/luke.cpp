// LUKE, for text without entities. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/luke/modeling_luke.py
// The encoder of RoBERTa with the heads of BERT. Without entities, their tables and queries are not used.
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/roberta.h"
#include "onnxport/nn/text_encoder.h"
#include "onnxport/nn/text_tasks.h"
#include "onnxport/text_encoder_config.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const TextEncoderConfig c(config);
  config.harmless({"use_entity_aware_attention", "entity_vocab_size", "entity_emb_size"});
  const Scope root = model.scope();
  const Scope base = root.base_model("luke");
  const Roberta luke(base, c, config.integer("pad_token_id"));
  const auto fill_mask = [&](Value hidden) {
    return roberta_lm_head(root, c, luke.embeddings.words())(hidden);
  };
  const auto pool = [&](Value hidden) {
    return nn::Pooler(base / "pooler" / "dense", c.hidden_size)(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     pooled_heads(root, c, luke, fill_mask, pool));
}

}  // namespace

void register_luke(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "luke",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"*entity_embeddings.*", "entity_predictions.*", "*.w2e_query.*", "*.e2w_query.*",
                          "*.e2e_query.*"},
       .key_names = tied("luke.embeddings.word_embeddings", "lm_head.decoder")});
}

}  // namespace onnxport::models
