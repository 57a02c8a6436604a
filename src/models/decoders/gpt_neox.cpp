// GPT-NeoX. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gpt_neox/modeling_gpt_neox.py
#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
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
  bool tied, bias, parallel;
  op::NoKeys no_keys;
  nn::RopeParameters rope;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        intermediate_size(c.integer("intermediate_size")),
        activation(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")),
        tied(c.flag("tie_word_embeddings", false)),
        bias(c.flag("attention_bias", true)),
        parallel(c.flag("use_parallel_residual", true)),
        no_keys(eager_attention(c) ? op::NoKeys::uniform : op::NoKeys::zero),
        rope(rope_parameters(
            c, hidden_size / heads,
            {.theta = c.real("rotary_emb_base"), .partial_rotary_factor = c.real("rotary_pct")})) {
    c.harmless({"rope_theta", "partial_rotary_factor"});  // copies under the common names
  }
};

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::HeadSizes sizes{c.hidden_size, c.heads, c.heads, c.hidden_size / c.heads};
  const nn::Linear fused(s / "query_key_value", c.hidden_size, 3 * c.hidden_size, c.bias);
  return {{.path = s.path(),
           .layer = layer,
           .sizes = sizes,
           .qkv = nn::QkvProjection::fused(fused, sizes, nn::FusedLayout::per_kv_head),
           .output = nn::Linear(s / "dense", c.hidden_size, c.hidden_size, c.bias),
           .mask = nn::sees({}, c.no_keys),
           .rotary = nn::RotaryEmbedding("rotary_emb", c.rope)}};
}

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  nn::ParallelBlock parts{
      .before_attention = nn::LayerNorm(s / "input_layernorm", c.hidden_size, c.eps),
      .attention = attention(s / "attention", layer, c),
      .before_mlp = nn::LayerNorm(s / "post_attention_layernorm", c.hidden_size, c.eps),
      .mlp = nn::Mlp(
          (s / "mlp").path(), nn::Linear(s / "mlp" / "dense_h_to_4h", c.hidden_size, c.intermediate_size),
          nn::Linear(s / "mlp" / "dense_4h_to_h", c.intermediate_size, c.hidden_size), c.activation)};
  if (c.parallel) return parts;
  return nn::PreNormBlock{parts.before_attention, parts.attention, parts.before_mlp, parts.mlp};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("gpt_neox");
  const nn::Embedding embed_in(s / "embed_in", c.vocab_size, c.hidden_size);
  const nn::DecoderStack decoder(
      s, "layers", c.layers, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      [&](nn::DecoderPass& pass) { return pass.embedded(embed_in); },
      nn::LayerNorm(s / "final_layer_norm", c.hidden_size, c.eps));
  const Weight tied = c.tied ? embed_in.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "embed_out", tied, c.vocab_size, c.hidden_size),
       .hidden_size = c.hidden_size,
       .num_labels = model.config().num_labels(),
       .pad_token_id = model.config().maybe_integer("pad_token_id")});
}

}  // namespace

void register_gpt_neox(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "gpt_neox",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"*.attention.bias", "*.attention.masked_bias", "*.rotary_emb.inv_freq"},
       .key_names = {.newer = {{"embed_out", "lm_head"}},
                     .embeddings = {"gpt_neox.embed_in.weight"},
                     .head = "embed_out.weight"}});
}

}  // namespace onnxport::models
