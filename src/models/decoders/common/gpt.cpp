#include "models/decoders/common/gpt.h"

#include "onnxport/nn/attention.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {

GptConfig::GptConfig(const PretrainedConfig& c, const GptKeys& keys)
    : vocab_size(c.integer("vocab_size")),
      n_embd(c.integer(keys.width)),
      n_layer(c.integer("n_layer")),
      n_head(c.integer("n_head")),
      n_inner(c.maybe_integer("n_inner").value_or(4 * n_embd)),
      n_positions(c.integer("n_positions")),
      activation(c.string(keys.activation)),
      eps(c.real("layer_norm_epsilon")) {
  check_multiple(c, keys.width, n_embd, "n_head", n_head);
}

NormalizedConfig GptOnnxConfig::normalized_config() const {
  return NormalizedTextConfig(config()).with_args({{"max_position_embeddings", "n_positions"},
                                                   {"hidden_size", "n_embd"},
                                                   {"num_layers", "n_layer"},
                                                   {"num_attention_heads", "n_head"}});
}

GptScale::GptScale(const PretrainedConfig& c)
    : weights(c.flag("scale_attn_weights", true)),
      by_layer(c.flag("scale_attn_by_inverse_layer_idx", false)) {}

double GptScale::operator()(double root_of_head_dim, std::int64_t layer) const {
  const double scale = weights ? 1 / root_of_head_dim : 1;
  return by_layer ? scale / static_cast<double>(layer + 1) : scale;
}

nn::CausalAttentionParts gpt_attention(const Scope& s, std::int64_t layer, const GptConfig& c) {
  const nn::Linear c_attn = nn::Linear::transposed(s / "c_attn", c.n_embd, 3 * c.n_embd);
  return {.path = s.path(),
          .layer = layer,
          .sizes = c.sizes(),
          .qkv = nn::QkvProjection::fused(c_attn, c.sizes(), nn::FusedLayout::stacked),
          .output = nn::Linear::transposed(s / "c_proj", c.n_embd, c.n_embd)};
}

nn::Mlp gpt_mlp(const Scope& s, const GptConfig& c) {
  return {s.path(), nn::Linear::transposed(s / "c_fc", c.n_embd, c.n_inner),
          nn::Linear::transposed(s / "c_proj", c.n_inner, c.n_embd), c.activation};
}

Value GptEmbeddings::operator()(nn::DecoderPass& pass) const {
  const Value words = pass.embedded(wte);
  return op::add(words, wpe(pass.has_position_ids() ? pass.position_ids() : nn::decoder_positions(pass)));
}

op::AttentionMask masked_twice(const nn::DecoderPass& pass, double later) {
  const Value padding = nn::padding_bias(pass.attention_mask(), pass.graph().float_dtype());
  const Value order = pass.causal_bias(later);
  return {.bias = padding ? op::add(padding, order) : order};
}

GptjConfig::GptjConfig(const PretrainedConfig& c)
    : GptConfig(c),
      rotary_dim(c.maybe_integer("rotary_dim").value_or(n_embd)),
      tied(c.flag("tie_word_embeddings", false)) {}

namespace {

nn::Block gptj_block(const Scope& s, std::int64_t layer, const GptjConfig& c, GptjProjection project) {
  const Scope attention = s / "attn", mlp = s / "mlp";
  nn::CausalAttentionParts parts{
      .path = attention.path(),
      .layer = layer,
      .sizes = c.sizes(),
      .qkv = project(attention, c),
      .output = nn::Linear(attention / "out_proj", c.n_embd, c.n_embd, false),
      .mask = nn::sees({}, op::NoKeys::uniform),
      .rotary = nn::RotaryEmbedding("rotary_emb", {.dim = c.rotary_dim, .interleaved = true}),
      .score_dtype = DType::f32};  // as in the original, also in half precision
  return nn::ParallelBlock{.before_attention = c.norm(s / "ln_1"),
                           .attention = nn::CausalAttention(std::move(parts)),
                           .mlp = nn::Mlp(mlp.path(), nn::Linear(mlp / "fc_in", c.n_embd, c.n_inner),
                                          nn::Linear(mlp / "fc_out", c.n_inner, c.n_embd), c.activation)};
}

}  // namespace

NamedValues forward_gptj(const Inputs& inputs, const Model& model, const Component& component,
                         GptjProjection project) {
  const GptjConfig c(model.config());
  const Scope root = model.scope(), s = root.base_model("transformer");
  const nn::Embedding wte(s / "wte", c.vocab_size, c.n_embd);
  const nn::DecoderStack decoder(
      s, "h", c.n_layer, [&](const Scope& layer, std::int64_t i) { return gptj_block(layer, i, c, project); },
      [&](nn::DecoderPass& pass) { return pass.embedded(wte); }, c.norm(s / "ln_f"));
  const auto lm_head = [&](Value hidden) {
    const Weight tied = c.tied ? wte.weight() : Weight();
    return nn::output_embedding(root / "lm_head", tied, c.vocab_size, c.n_embd, "bias")(hidden);
  };
  return nn::build_text_decoder_task(component, inputs, root,
                                     {.decode = decoder,
                                      .lm_head = lm_head,
                                      .hidden_size = c.n_embd,
                                      .num_labels = model.config().num_labels(),
                                      .pad_token_id = model.config().maybe_integer("pad_token_id")});
}

}  // namespace onnxport::models
