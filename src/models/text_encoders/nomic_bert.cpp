// Nomic BERT. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/nomic_bert/modeling_nomic_bert.py
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/rotary_bert.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

constexpr RotaryBertKeys kKeys = {.embeddings_norm = "emb_ln",
                                  .layers = "encoder.layers",
                                  .attention = "attn",
                                  .qkv = "Wqkv",
                                  .output = "out_proj",
                                  .norms = {"norm1", "norm2"}};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const RotaryBertConfig c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("nomic_bert");
  const auto make_mlp = [&](const Scope& s, bool published) -> nn::FeedForward {
    nn::GatedMlpParameters p = {
        .hidden_size = c.hidden_size, .intermediate_size = c.intermediate_size, .activation = c.hidden_act};
    if (published) {
      p.gate = "fc12";
      p.up = "fc11";
      p.down = "fc2";
    }
    return nn::GatedMlp(s, p);
  };
  const RotaryBert nomic_bert(base, c, kKeys, false, make_mlp);
  const auto fill_mask = [&](Value hidden) {
    nn::MaskedLmHeadParameters head = c.masked_lm_head();
    head.activation = c.hidden_act;
    head.dense = "transform.dense";
    head.norm = "transform.layer_norm";
    const Weight tied = c.tie_word_embeddings ? nomic_bert.words() : Weight();
    return nn::MaskedLmHead(root / "cls" / "predictions", head, tied)(hidden);
  };
  const auto pool = [&](Value hidden) {
    return nn::Pooler(base / "pooler" / "dense", c.hidden_size)(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     pooled_heads(root, c, nomic_bert, fill_mask, pool));
}

}  // namespace

void register_nomic_bert(TasksManager& tasks) {
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "nomic_bert",
       .tasks = {"feature-extraction", "fill-mask", "text-classification", "token-classification"},
       .forward = forward,
       .ignorable_keys = {"*inv_freq"},
       .key_names = tied("nomic_bert.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
