// Jina Embeddings v3. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/jina_embeddings_v3/modeling_jina_embeddings_v3.py
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/roberta.h"
#include "models/text_encoders/common/rotary_bert.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

constexpr RotaryBertKeys kKeys = {.embeddings_norm = "emb_ln",
                                  .layers = "encoder.layers",
                                  .attention = "mixer",
                                  .qkv = "Wqkv",
                                  .output = "out_proj",
                                  .norms = {"norm1", "norm2"}};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const RotaryBertConfig c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("roberta");
  const auto make_mlp = [&](const Scope& s, bool) -> nn::FeedForward {
    return nn::Mlp(s.path(), nn::Linear(s / "fc1", c.hidden_size, c.intermediate_size),
                   nn::Linear(s / "fc2", c.intermediate_size, c.hidden_size), c.hidden_act);
  };
  const RotaryBert jina(base, c, kKeys, true, make_mlp);
  const auto fill_mask = [&](Value hidden) { return roberta_lm_head(root, c, jina.words())(hidden); };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     roberta_heads(root, base, c, jina, fill_mask));
}

}  // namespace

void register_jina_embeddings_v3(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "jina_embeddings_v3",
       .tasks = {"feature-extraction", "fill-mask", "question-answering", "text-classification",
                 "token-classification"},
       .forward = forward,
       .ignorable_keys = {"*inv_freq", "*pooler.*"},
       .key_names = tied("roberta.embeddings.word_embeddings", "lm_head.decoder")});
}

}  // namespace onnxport::models
