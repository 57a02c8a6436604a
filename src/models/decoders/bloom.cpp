// BLOOM. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bloom/modeling_bloom.py
#include "models/common/definition.h"
#include "models/common/gguf_layout.h"
#include "onnxport/nn/alibi.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, hidden_size, layers, heads;
  double eps;
  bool tied, residual_after_norm, biased;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        layers(c.integer("n_layer")),
        heads(c.integer("n_head")),
        eps(c.real("layer_norm_epsilon")),
        tied(c.flag("tie_word_embeddings", true)),
        residual_after_norm(c.flag("apply_residual_connection_post_layernorm")),
        // Where the original cuts its products in slices, it forgets the biases of the last layers.
        biased(c.integer("pretraining_tp") <= 1 || !c.flag("slow_but_exact")) {}
};

class BloomOnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(config()).with_args({{"num_layers", "n_layer"}});
  }
  std::vector<StateSpec> states() const override {
    const Config c(config().unaccounted());
    return key_values(c.layers, c.heads, c.hidden_size / c.heads);
  }
};

nn::Linear last_linear(const Scope& s, std::int64_t in, const Config& c) {
  if (!c.biased) s.ignore("bias");
  return {s, in, c.hidden_size, c.biased};
}

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::HeadSizes sizes{c.hidden_size, c.heads, c.heads, c.hidden_size / c.heads};
  const nn::Linear fused(s / "query_key_value", c.hidden_size, 3 * c.hidden_size);
  return {{.path = s.path(),
           .layer = layer,
           .sizes = sizes,
           .qkv = nn::QkvProjection::fused(fused, sizes, nn::FusedLayout::per_kv_head),
           .output = last_linear(s / "dense", c.hidden_size, c),
           .mask = [heads = c.heads](const nn::DecoderPass& pass) {
             op::AttentionMask mask = pass.mask({}, op::NoKeys::uniform);
             mask.bias = nn::alibi(pass, heads);
             return mask;
           }}};
}

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  nn::PreNormBlock parts{
      .before_attention = nn::LayerNorm(s / "input_layernorm", c.hidden_size, c.eps),
      .attention = attention(s / "self_attention", layer, c),
      .before_mlp = nn::LayerNorm(s / "post_attention_layernorm", c.hidden_size, c.eps),
      .mlp = nn::Mlp((s / "mlp").path(),
                     nn::Linear(s / "mlp" / "dense_h_to_4h", c.hidden_size, 4 * c.hidden_size),
                     last_linear(s / "mlp" / "dense_4h_to_h", 4 * c.hidden_size, c), "gelu_new")};
  if (!c.residual_after_norm) return parts;
  return [parts](Value x, nn::DecoderPass& pass) {
    const Value normed = parts.before_attention(x);
    const Value again = parts.before_mlp(op::add(normed, parts.attention(normed, pass)));
    return op::add(again, parts.mlp(again));
  };
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("transformer");
  const nn::Embedding word_embeddings(s / "word_embeddings", c.vocab_size, c.hidden_size);
  const nn::LayerNorm embeddings_norm(s / "word_embeddings_layernorm", c.hidden_size, c.eps);
  const nn::DecoderStack decoder(
      s, "h", c.layers, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      [&](nn::DecoderPass& pass) { return embeddings_norm(pass.embedded(word_embeddings)); },
      nn::LayerNorm(s / "ln_f", c.hidden_size, c.eps));
  const Weight tied = c.tied ? word_embeddings.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "lm_head", tied, c.vocab_size, c.hidden_size),
       .hidden_size = c.hidden_size,
       .num_labels = model.config().num_labels(),
       .pad_token_id = model.config().maybe_integer("pad_token_id"),
       .token_classifier = "classifier"});
}

GgufLayout gguf() {
  return {.architecture = "bloom",
          .original_class = "BloomForCausalLM",
          .tensors = [](const PretrainedConfig& config) -> GgufTensors {
            const std::int64_t heads =
                config.integer(config.has("num_attention_heads") ? "num_attention_heads" : "n_head");
            return {{"token_embd", "transformer.word_embeddings"},
                    {"token_embd_norm", "transformer.word_embeddings_layernorm"},
                    {"output_norm", "transformer.ln_f"},
                    {"output", "lm_head"},
                    {"blk.{}.attn_norm", "transformer.h.{}.input_layernorm"},
                    {"blk.{}.attn_qkv", "transformer.h.{}.self_attention.query_key_value", per_head(heads)},
                    {"blk.{}.attn_output", "transformer.h.{}.self_attention.dense"},
                    {"blk.{}.ffn_norm", "transformer.h.{}.post_attention_layernorm"},
                    {"blk.{}.ffn_up", "transformer.h.{}.mlp.dense_h_to_4h"},
                    {"blk.{}.ffn_down", "transformer.h.{}.mlp.dense_4h_to_h"}};
          },
          .config_keys = {{"block_count", "n_layer"},
                          {"embedding_length", "hidden_size"},
                          {"attention.head_count", "n_head"},
                          {"attention.layer_norm_epsilon", "layer_norm_epsilon"},
                          {"vocab_size", "vocab_size"}},
          .more_config =
              [](const GgufInfo&) {
                // The file has a copy of the table as `output`.
                return ConfigTexts{{"tie_word_embeddings", "true"}};
              }};
}

}  // namespace

void register_bloom(TasksManager& tasks) {
  tasks.register_model<BloomOnnxConfig>(
      {.model_type = "bloom",
       .tasks = nn::text_decoder_tasks({"text-classification", "token-classification"}),
       .forward = forward,
       .key_names = tied("transformer.word_embeddings", "lm_head"),
       .gguf = gguf()});
}

}  // namespace onnxport::models
