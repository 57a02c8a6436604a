// GPT-NeoX Japanese. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gpt_neox_japanese/modeling_gpt_neox_japanese.py
#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, hidden_size, layers, heads, intermediate_size;
  std::string activation;
  double eps;
  bool tied;
  nn::RopeParameters rope;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        intermediate_size(static_cast<std::int64_t>(static_cast<double>(hidden_size) *
                                                    c.real("intermediate_multiple_size"))),
        activation(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")),
        tied(c.flag("tie_word_embeddings", true)) {
    check_heads(c, hidden_size, heads);
    rope =
        rope_parameters(c, hidden_size / heads,
                        {.theta = c.real("rotary_emb_base"), .partial_rotary_factor = c.real("rotary_pct")});
    c.harmless({"rope_theta", "partial_rotary_factor"});  // copies under the common names
  }
  nn::HeadSizes sizes() const { return {hidden_size, heads, heads, hidden_size / heads}; }
  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, eps}; }
};

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::Linear fused(s / "query_key_value", c.hidden_size, 3 * c.hidden_size, false);
  const nn::Linear dense(s / "dense", c.hidden_size, c.hidden_size, false);
  // Only the last layer has a bias.
  const Weight bias = layer == c.layers - 1 ? s.weight("dense_bias", {c.hidden_size}) : Weight();
  return {{.path = s.path(),
           .layer = layer,
           .sizes = c.sizes(),
           .qkv = nn::QkvProjection::fused(fused, c.sizes(), nn::FusedLayout::per_kv_head),
           .output = nn::Linear(dense.path(), dense.weight(), bias),
           .mask = nn::sees({}, op::NoKeys::uniform),
           .rotary = nn::RotaryEmbedding("rotary_emb", c.rope)}};
}

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  const Scope mlp = s / "mlp";
  return nn::PreNormBlock{
      .before_attention = c.norm(s / "input_layernorm"),
      .attention = attention(s / "attention", layer, c),
      .before_mlp = c.norm(s / "post_attention_layernorm"),
      .mlp = nn::Mlp(mlp.path(), nn::Linear(mlp / "dense_h_to_4h", c.hidden_size, c.intermediate_size, false),
                     nn::Linear(mlp / "dense_4h_to_h", c.intermediate_size, c.hidden_size, false),
                     c.activation)};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("gpt_neox_japanese");
  const nn::Embedding embed_in(s / "embed_in", c.vocab_size, c.hidden_size);
  const nn::DecoderStack decoder(
      s, "layers", c.layers, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      [&](nn::DecoderPass& pass) { return pass.embedded(embed_in); }, c.norm(s / "final_layer_norm"));
  const Weight tied = c.tied ? embed_in.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "embed_out", tied, c.vocab_size, c.hidden_size),
       .hidden_size = c.hidden_size});
}

}  // namespace

void register_gpt_neox_japanese(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "gpt_neox_japanese",
       .tasks = {"feature-extraction", "text-generation", "text-generation-with-past"},
       .forward = forward,
       .ignorable_keys = {"*.attention.bias", "*.attention.masked_bias", "*.rotary_emb.inv_freq"},
       .key_names = tied("gpt_neox_japanese.embed_in", "embed_out")});
}

}  // namespace onnxport::models
