#include "onnxport/text_decoder_config.h"

#include <fmt/format.h>

#include <utility>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/rotary.h"

namespace onnxport {
namespace {

std::int64_t head_dim_of(const PretrainedConfig& c, std::int64_t hidden_size, std::int64_t heads) {
  if (const auto given = c.maybe_integer("head_dim")) return *given;
  models::check_heads(c, hidden_size, heads);
  return hidden_size / heads;
}

nn::HeadSizes head_sizes(const PretrainedConfig& c) {
  nn::HeadSizes sizes;
  sizes.hidden_size = c.integer("hidden_size");
  sizes.heads = c.integer("num_attention_heads");
  sizes.kv_heads = c.maybe_integer("num_key_value_heads").value_or(sizes.heads);
  sizes.head_dim = head_dim_of(c, sizes.hidden_size, sizes.heads);
  models::check_multiple(c, "num_attention_heads", sizes.heads, "num_key_value_heads", sizes.kv_heads);
  return sizes;
}

}  // namespace

bool eager_attention(const PretrainedConfig& config) {
  return config.maybe_string("_attn_implementation")
             .value_or(config.maybe_string("attn_implementation").value_or("sdpa")) == "eager";
}

TextDecoderConfig::TextDecoderConfig(const PretrainedConfig& c)
    : vocab_size(c.integer("vocab_size")),
      hidden_size(c.integer("hidden_size")),
      num_hidden_layers(c.integer("num_hidden_layers")),
      intermediate_size(c.integer("intermediate_size")),
      num_labels(c.num_labels()),
      heads(head_sizes(c)),
      hidden_act(c.string("hidden_act", "silu")),
      norm_parameters({.eps = c.real("rms_norm_eps", 1e-6)}),
      attention_bias(c.flag("attention_bias", false)),
      tie_word_embeddings(c.flag("tie_word_embeddings", false)),
      no_keys(eager_attention(c) ? op::NoKeys::uniform : op::NoKeys::zero),
      pad_token_id(c.maybe_integer("pad_token_id")),
      rope(rope_parameters(c, heads.head_dim, {.layer_type = "full_attention"})) {
  c.harmless({"pretraining_tp"});  // how the original cut its products
}

void TextDecoderConfig::add_masks_in_version_4(const PretrainedConfig& config) {
  if (config.transformers_major() < 5) no_keys = op::NoKeys::uniform;
}

nn::RopeParameters sliding_rope_parameters(const PretrainedConfig& config, std::int64_t head_dim,
                                           double theta) {
  if (!config.has("rope_parameters")) return {.dim = head_dim, .theta = theta};
  return rope_parameters(config, head_dim, {.layer_type = "sliding_attention", .theta = theta});
}

MakeNorm layer_norms(double eps) {
  return [eps](const Scope& s, std::int64_t width) { return nn::LayerNorm(s, width, eps); };
}

MakeNorm layer_norms_without_bias(double eps) {
  return [eps](const Scope& s, std::int64_t width) { return nn::LayerNorm(s, width, eps, true, false); };
}

nn::Norm TextDecoderConfig::norm(const Scope& s, std::int64_t width) const {
  return make_norm ? make_norm(s, width) : nn::RmsNorm(s, width, norm_parameters);
}

nn::CausalAttentionParts TextDecoderConfig::attention(const Scope& s, std::int64_t layer,
                                                      const nn::Visibility& visible) const {
  return attention(s, layer, visible, nn::QkvProjection::separate(s, heads, attention_bias));
}

nn::CausalAttentionParts TextDecoderConfig::attention(const Scope& s, std::int64_t layer,
                                                      const nn::Visibility& visible, nn::Projection qkv,
                                                      const std::string& output) const {
  return {.path = s.path(),
          .layer = layer,
          .sizes = heads,
          .qkv = std::move(qkv),
          .output = nn::Linear(s / output, heads.heads * heads.head_dim, hidden_size, attention_bias),
          .mask = nn::sees(visible, no_keys),
          .rotary = nn::RotaryEmbedding("rotary_emb", rope)};
}

nn::CausalAttentionParts TextDecoderConfig::normed_attention(const Scope& s, std::int64_t layer,
                                                             const nn::Visibility& visible) const {
  nn::CausalAttentionParts parts = attention(s, layer, visible);
  norm_heads(parts, s / "q_norm", s / "k_norm");
  return parts;
}

void TextDecoderConfig::norm_heads(nn::CausalAttentionParts& attention, const Scope& query,
                                   const Scope& key) const {
  attention.query_norm = nn::per_head(norm(query, heads.head_dim), heads.head_dim);
  attention.key_norm = nn::per_head(norm(key, heads.head_dim), heads.head_dim);
}

nn::GatedMlp TextDecoderConfig::mlp(const Scope& s, bool bias) const {
  return {s,
          {.hidden_size = hidden_size,
           .intermediate_size = intermediate_size,
           .activation = hidden_act,
           .bias = bias}};
}

nn::Mlp TextDecoderConfig::plain_mlp(const Scope& s, bool bias, const std::string& up,
                                     const std::string& down) const {
  return {s.path(), nn::Linear(s / up, hidden_size, intermediate_size, bias),
          nn::Linear(s / down, intermediate_size, hidden_size, bias), hidden_act};
}

nn::Block TextDecoderConfig::block(const Scope& s, nn::CausalAttentionParts attention,
                                   nn::FeedForward mlp) const {
  return nn::PreNormBlock{.before_attention = norm(s / "input_layernorm"),
                          .attention = nn::CausalAttention(std::move(attention)),
                          .before_mlp = norm(s / "post_attention_layernorm"),
                          .mlp = std::move(mlp)};
}

nn::Block TextDecoderConfig::parallel_block(const Scope& s, nn::CausalAttentionParts attention,
                                            nn::FeedForward mlp) const {
  return nn::ParallelBlock{.before_attention = norm(s / "input_layernorm"),
                           .attention = nn::CausalAttention(std::move(attention)),
                           .before_mlp = {},
                           .mlp = std::move(mlp)};
}

nn::Block TextDecoderConfig::post_normed_block(const Scope& s, nn::CausalAttentionParts attention,
                                               nn::FeedForward mlp) const {
  return nn::SandwichBlock{.before_attention = {},
                           .attention = nn::CausalAttention(std::move(attention)),
                           .after_attention = norm(s / "post_attention_layernorm"),
                           .before_mlp = {},
                           .mlp = std::move(mlp),
                           .after_mlp = norm(s / "post_feedforward_layernorm")};
}

std::vector<std::string> layer_types(const PretrainedConfig& config, std::int64_t layers,
                                     std::int64_t pattern) {
  if (config.has("layer_types")) return config.strings("layer_types");
  if (pattern <= 0) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("sliding_window_pattern is {}, expected at least 1", pattern));
  }
  std::vector<std::string> types;
  for (std::int64_t i = 0; i < layers; ++i)
    types.emplace_back((i + 1) % pattern != 0 ? "sliding_attention" : "full_attention");
  return types;
}

std::vector<nn::Visibility> layer_visibility(const std::vector<std::string>& types, std::int64_t layers,
                                             std::int64_t window) {
  if (static_cast<std::int64_t>(types.size()) != layers) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("layer_types lists {} layers, expected {}", types.size(), layers));
  }
  std::vector<nn::Visibility> visible;
  for (const std::string& type : types) {
    if (type != "full_attention" && type != "sliding_attention") {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("layer_types names '{}', expected full_attention or "
                                    "sliding_attention",
                                    type));
    }
    visible.emplace_back();
    if (type != "sliding_attention") continue;
    if (window < 1) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("layer_types names sliding_attention, but sliding_window is {}", window));
    }
    visible.back().window = window;
  }
  return visible;
}

NamedValues forward_text_decoder(const Inputs& inputs, const TextDecoderScopes& scopes,
                                 const Component& component, const TextDecoderConfig& c,
                                 const nn::MakeBlock& make_block) {
  const Scope& s = scopes.base;
  const nn::Embedding embed_tokens(s / "embed_tokens", c.vocab_size, c.hidden_size);
  const auto embed = [&](nn::DecoderPass& pass) {
    const Value x = pass.embedded([&](Value ids) {
      const Value rows = embed_tokens(ids);
      return c.table_scale == 1 ? rows : op::mul(rows, c.table_scale);
    });
    return c.embedding_scale == 1 ? x : op::mul(x, c.embedding_scale);
  };
  const auto lm_head = [&](Value hidden) {
    const Weight tied = c.tie_word_embeddings ? embed_tokens.weight() : Weight();
    const nn::Linear head =
        nn::output_embedding(scopes.lm_head, tied, c.vocab_size, c.hidden_size, c.head_bias);
    Value logits = head(hidden);
    if (c.logit_scale != 1) logits = op::mul(logits, c.logit_scale);
    if (c.final_softcap == 0) return logits;
    return op::mul(op::tanh(op::div(logits, c.final_softcap)), c.final_softcap);
  };
  const nn::DecoderStack decoder(s, "layers", c.num_hidden_layers, make_block, embed,
                                 c.norm(s / c.last_norm));
  return nn::build_text_decoder_task(component, inputs, scopes.heads,
                                     {.decode = decoder,
                                      .lm_head = lm_head,
                                      .hidden_size = c.hidden_size,
                                      .num_labels = c.num_labels,
                                      .pad_token_id = c.pad_token_id});
}

NamedValues forward_text_decoder(const Inputs& inputs, const Model& model, const Component& component,
                                 const TextDecoderConfig& c, const nn::MakeBlock& make_block) {
  // The id tells where a row ends.
  if (component.task != "text-classification") model.config().harmless({"pad_token_id"});
  const Scope root = model.scope();
  const TextDecoderScopes scopes{root.base_model("model"), root / "lm_head", root};
  return forward_text_decoder(inputs, scopes, component, c, make_block);
}

}  // namespace onnxport
