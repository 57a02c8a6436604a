// InternLM2 and 2.5: Llama with one product for queries, keys and values, and names of its own. The original
// is code of the published repositories, such as
// https://huggingface.co/internlm/internlm2_5-7b/blob/main/modeling_internlm2.py
#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

nn::Block make_block(const Scope& s, std::int64_t layer, const TextDecoderConfig& c) {
  const Scope attention = s / "attention";
  const nn::HeadSizes& z = c.heads;
  const nn::Linear wqkv(attention / "wqkv", z.hidden_size, (z.heads + 2 * z.kv_heads) * z.head_dim,
                        c.attention_bias);
  return nn::PreNormBlock{
      .before_attention = c.norm(s / "attention_norm"),
      .attention = nn::CausalAttention(c.attention(
          attention, layer, {}, nn::QkvProjection::fused(wqkv, z, nn::FusedLayout::per_kv_head), "wo")),
      .before_mlp = c.norm(s / "ffn_norm"),
      .mlp = nn::GatedMlp(s / "feed_forward", {.hidden_size = c.hidden_size,
                                               .intermediate_size = c.intermediate_size,
                                               .activation = c.hidden_act,
                                               .gate = "w1",
                                               .up = "w3",
                                               .down = "w2"})};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  TextDecoderConfig c(model.config());
  c.attention_bias = model.config().flag("bias", true);
  if (component.task != "text-classification") model.config().harmless({"pad_token_id"});
  const Scope root = model.scope(), s = root.base_model("model");
  const nn::Embedding tok_embeddings(s / "tok_embeddings", c.vocab_size, c.hidden_size);
  const nn::DecoderStack decoder(
      s, "layers", c.num_hidden_layers,
      [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      [&](nn::DecoderPass& pass) { return pass.embedded(tok_embeddings); }, c.norm(s / "norm"));
  const Weight tied = c.tie_word_embeddings ? tok_embeddings.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "output", tied, c.vocab_size, c.hidden_size),
       .hidden_size = c.hidden_size,
       .num_labels = c.num_labels,
       .pad_token_id = c.pad_token_id});
}

}  // namespace

void register_internlm2(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "internlm2",
       .tasks = nn::text_decoder_tasks({"text-classification"}),
       .forward = forward,
       .ignorable_keys = {"*.rotary_emb.inv_freq"},
       .key_names = tied("model.tok_embeddings", "output")});
}

}  // namespace onnxport::models
