// BLOOM. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bloom/modeling_bloom.py
#include "models/common/definition.h"
#include "models/common/gguf_layout.h"
#include "onnxport/nn/alibi.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, hidden_size, layers, heads;
  double eps;
  bool tied, residual_after_norm, biased;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(either(c, "n_embed", "hidden_size")),
        layers(either(c, "num_hidden_layers", "n_layer")),
        heads(either(c, "num_attention_heads", "n_head")),
        eps(c.real("layer_norm_epsilon")),
        tied(c.flag("tie_word_embeddings", true)),
        residual_after_norm(c.flag("apply_residual_connection_post_layernorm")),
        // Where the original cuts its products in slices, it forgets the biases of the last layers.
        biased(c.integer("pretraining_tp") <= 1 || !c.flag("slow_but_exact")) {}
};

class BloomOnnxConfig : public TextDecoderOnnxConfig {
 public:
  using TextDecoderOnnxConfig::TextDecoderOnnxConfig;
  std::string min_transformers_version() const override { return "4.36.0"; }
  std::vector<StateSpec> states() const override {
    const Config c(config().unaccounted());
    return key_values(c.layers, c.heads, c.hidden_size / c.heads);
  }
};

nn::Linear last_linear(const Scope& s, std::int64_t in, const Config& c) {
  if (!c.biased) s.ignore("bias");
  return {s, in, c.hidden_size, c.biased};
}

struct Block {
  bool residual_after_norm;
  nn::LayerNorm input_layernorm;
  nn::CausalAttention self_attention;
  nn::LayerNorm post_attention_layernorm;
  nn::Mlp mlp;

  static nn::CausalAttention attention(const Scope& s, const Config& c) {
    const nn::HeadSizes sizes{c.hidden_size, c.heads, c.heads, c.hidden_size / c.heads};
    const nn::Linear fused(s / "query_key_value", c.hidden_size, 3 * c.hidden_size);
    return {s,
            {.sizes = sizes},
            nn::QkvProjection::fused(fused, sizes, nn::FusedLayout::per_kv_head),
            last_linear(s / "dense", c.hidden_size, c)};
  }

  Block(const Scope& s, const Config& c)
      : residual_after_norm(c.residual_after_norm),
        input_layernorm(s / "input_layernorm", c.hidden_size, c.eps),
        self_attention(attention(s / "self_attention", c)),
        post_attention_layernorm(s / "post_attention_layernorm", c.hidden_size, c.eps),
        mlp((s / "mlp").path(), nn::Linear(s / "mlp" / "dense_h_to_4h", c.hidden_size, 4 * c.hidden_size),
            last_linear(s / "mlp" / "dense_4h_to_h", 4 * c.hidden_size, c), "gelu_new") {}

  Value operator()(Value x, nn::DecoderPass& pass, std::int64_t layer, const op::AttentionMask& mask) const {
    const Value normed = input_layernorm(x);
    const Value attended = self_attention(normed, pass, layer, mask);
    x = op::add(residual_after_norm ? normed : x, attended);
    const Value again = post_attention_layernorm(x);
    return op::add(residual_after_norm ? again : x, mlp(again));
  }
};

struct Bloom {
  std::int64_t heads;
  nn::Embedding word_embeddings;
  nn::LayerNorm word_embeddings_layernorm;
  std::vector<Block> h;
  nn::LayerNorm ln_f;

  Bloom(const Scope& s, const Config& c)
      : heads(c.heads),
        word_embeddings(s / "word_embeddings", c.vocab_size, c.hidden_size),
        word_embeddings_layernorm(s / "word_embeddings_layernorm", c.hidden_size, c.eps),
        ln_f(s / "ln_f", c.hidden_size, c.eps) {
    for (std::int64_t i = 0; i < c.layers; ++i) h.emplace_back(s / "h" / i, c);
  }

  Value operator()(nn::DecoderPass& pass) const {
    Value x = word_embeddings_layernorm(word_embeddings(pass.input_ids()));
    op::AttentionMask mask = pass.mask({}, op::NoKeys::uniform);
    mask.bias = nn::alibi(pass, heads);
    for (std::size_t i = 0; i < h.size(); ++i) x = h[i](x, pass, static_cast<std::int64_t>(i), mask);
    return ln_f(x);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Bloom bloom(root.base_model("transformer"), c);
  const auto lm_head = [&](Value hidden) {
    const Weight tied = c.tied ? bloom.word_embeddings.weight() : Weight();
    return nn::output_embedding(root / "lm_head", tied, c.vocab_size, c.hidden_size)(hidden);
  };
  return nn::build_text_decoder_task(component, inputs, root,
                                     {.decode = bloom,
                                      .lm_head = lm_head,
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
       .gguf = gguf()});
}

}  // namespace onnxport::models
