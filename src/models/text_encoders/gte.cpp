// GTE. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/gte/modeling_gte.py
#include "models/common/definition.h"
#include "models/text_encoders/common/bert.h"
#include "models/text_encoders/common/rotary_bert.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

constexpr RotaryBertKeys kKeys = {.embeddings_norm = "embeddings.LayerNorm",
                                  .layers = "encoder.layer",
                                  .attention = "attention",
                                  .qkv = "qkv_proj",
                                  .output = "o_proj",
                                  .norms = {"attn_ln", "mlp_ln"}};

// down(activation(gate(x)) * up(x)). Only the last layer has a bias.
nn::FeedForward make_mlp(const Scope& s, const RotaryBertConfig& c, bool published) {
  const std::int64_t width = c.hidden_size, inner = c.intermediate_size;
  const auto half = [&](const char* key, std::int64_t begin) {
    if (!published) return nn::Linear(s / key, width, inner, false);
    const Scope both = s / "up_gate_proj";
    return nn::Linear(both.path(), both.weight("weight", {2 * inner, width}).slice(0, begin, begin + inner),
                      {});
  };
  const nn::Linear up = half("up_proj", 0), gate = half("gate_proj", inner);
  const nn::Linear down(s / "down_proj", inner, width);
  return [=, path = s.path(), activation = nn::Activation(c.hidden_act)](Value x) {
    const ModulePath at(x, path);
    const Value opened = activation(gate(x));
    return down(op::mul(opened, up(x)));
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const RotaryBertConfig c(model.config());
  const Scope root = model.scope();
  const Scope published = root / "new";
  const Scope base = published.exists() ? published : root.base_model("gte");
  const RotaryBert gte(base, c, kKeys, true,
                       [&](const Scope& s, bool old_keys) { return make_mlp(s, c, old_keys); });
  const auto fill_mask = [&](Value hidden) {
    const Scope s = root / "lm_head";
    nn::MaskedLmHeadParameters head = c.masked_lm_head();
    if (s.has("norm.weight")) head.norm = "norm";
    head.bias = {"decoder.bias"};
    return nn::MaskedLmHead(s, head, c.tie_word_embeddings ? gte.words() : Weight())(hidden);
  };
  const auto pool = [&](Value hidden) {
    return nn::Pooler(base / "pooler" / "dense", c.hidden_size)(hidden);
  };
  return nn::build_text_encoder_task(component.task, inputs, root,
                                     pooled_heads(root, c, gte, fill_mask, pool));
}

}  // namespace

void register_gte(TasksManager& tasks) {
  KeyNames names = tied("gte.embeddings.word_embeddings", "lm_head.decoder");
  names.embeddings.emplace_back("new.embeddings.word_embeddings.weight");
  tasks.register_model<TypedTextOnnxConfig>(
      {.model_type = "gte",
       .tasks = {"feature-extraction", "fill-mask", "text-classification", "token-classification"},
       .forward = forward,
       .ignorable_keys = {"*inv_freq"},
       .key_names = std::move(names)});
}

}  // namespace onnxport::models
