// GPT-2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gpt2/modeling_gpt2.py
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "models/common/definition.h"
#include "models/common/gguf_layout.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, n_embd, n_layer, n_head, n_inner, n_positions;
  std::string activation;
  double eps;
  bool tied, eager, scale_weights, scale_by_layer;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        n_embd(c.integer("n_embd")),
        n_layer(c.integer("n_layer")),
        n_head(c.integer("n_head")),
        n_inner(c.maybe_integer("n_inner").value_or(4 * n_embd)),
        n_positions(c.integer("n_positions")),
        activation(c.string("activation_function")),
        eps(c.real("layer_norm_epsilon")),
        tied(c.flag("tie_word_embeddings", true)),
        eager(eager_attention(c)),
        scale_weights(c.flag("scale_attn_weights", true)),
        scale_by_layer(c.flag("scale_attn_by_inverse_layer_idx", false)) {
    // The default attention of transformers 4 does not know these two.
    if (!eager && c.transformers_major() < 5) {
      scale_weights = true;
      scale_by_layer = false;
    }
    // The order of operations in half precision, and the head of a task that is not exported.
    c.harmless({"reorder_and_upcast_attn", "summary_type", "summary_use_proj", "summary_activation",
                "summary_proj_to_labels"});
    check_multiple(c, "n_embd", n_embd, "n_head", n_head);
  }

  double attention_scale(std::int64_t layer) const {
    const std::int64_t head_dim = n_embd / n_head;
    const double scale = scale_weights ? 1 / std::sqrt(static_cast<double>(head_dim)) : 1;
    return scale_by_layer ? scale / static_cast<double>(layer + 1) : scale;
  }
};

class Gpt2OnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  NormalizedConfig normalized_config() const override {
    const bool usual = config().unaccounted().has("max_position_embeddings");
    const bool width = config().unaccounted().has("hidden_size");
    return NormalizedTextConfig(config()).with_args(
        {{"max_position_embeddings", usual ? "max_position_embeddings" : "n_positions"},
         {"hidden_size", width ? "hidden_size" : "n_embd"}});
  }
  std::vector<StateSpec> states() const override {
    const Config c(config().unaccounted());
    return key_values(c.n_layer, c.n_head, c.n_embd / c.n_head);
  }
};

// The eager attention masks twice: keys that come later get -inf, padding only the lowest finite value.
op::AttentionMask eager_mask(const nn::DecoderPass& pass) {
  const Value padding = nn::padding_bias(pass.attention_mask(), pass.graph().float_dtype());
  const Value later = pass.causal_bias(-std::numeric_limits<double>::infinity());
  return {.bias = padding ? op::add(padding, later) : later};
}

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::HeadSizes sizes{c.n_embd, c.n_head, c.n_head, c.n_embd / c.n_head};
  const nn::Linear c_attn = nn::Linear::transposed(s / "c_attn", c.n_embd, 3 * c.n_embd);
  return {{.path = s.path(),
           .layer = layer,
           .sizes = sizes,
           .qkv = nn::QkvProjection::fused(c_attn, sizes, nn::FusedLayout::stacked),
           .output = nn::Linear::transposed(s / "c_proj", c.n_embd, c.n_embd),
           .options = {.scale = c.attention_scale(layer)},
           .mask = c.eager ? eager_mask : nn::sees({})}};
}

nn::CrossAttention cross_attention(const Scope& s, std::int64_t layer, const Config& c) {
  return {s.path(),
          c.n_head,
          {.scale = c.attention_scale(layer)},
          nn::Linear::transposed(s / "q_attn", c.n_embd, c.n_embd),
          {nn::Linear::transposed(s / "c_attn", c.n_embd, 2 * c.n_embd)},
          nn::Linear::transposed(s / "c_proj", c.n_embd, c.n_embd)};
}

nn::PreNormBlock make_block(const Scope& s, std::int64_t layer, const Config& c) {
  return {.before_attention = nn::LayerNorm(s / "ln_1", c.n_embd, c.eps),
          .attention = attention(s / "attn", layer, c),
          .before_mlp = nn::LayerNorm(s / "ln_2", c.n_embd, c.eps),
          .mlp = nn::Mlp((s / "mlp").path(), nn::Linear::transposed(s / "mlp" / "c_fc", c.n_embd, c.n_inner),
                         nn::Linear::transposed(s / "mlp" / "c_proj", c.n_inner, c.n_embd), c.activation)};
}

// The same with attention to an encoder between its two halves.
nn::Block make_cross_block(const Scope& s, std::int64_t layer, const Config& c, nn::Seq2SeqPass& encoder) {
  const nn::LayerNorm norm(s / "ln_cross_attn", c.n_embd, c.eps);
  const nn::CrossAttention cross = cross_attention(s / "crossattention", layer, c);
  return [=, &encoder, block = make_block(s, layer, c)](Value x, nn::DecoderPass& pass) {
    x = op::add(x, block.attention(block.before_attention(x), pass));
    x = op::add(x, cross(norm(x), encoder, layer));
    return op::add(x, block.mlp(block.before_mlp(x)));
  };
}

struct Gpt2 {
  const Config& c;
  Scope root, s;
  nn::Embedding wte, wpe;

  Gpt2(const Model& model, const Config& config)
      : c(config),
        root(model.scope()),
        s(root.base_model("transformer")),
        wte(s / "wte", c.vocab_size, c.n_embd),
        wpe(s / "wpe", c.n_positions, c.n_embd) {}

  nn::DecoderStack decoder(const nn::MakeBlock& make) const {
    const auto embed = [wte = wte, wpe = wpe](nn::DecoderPass& pass) {
      const Value words = wte(pass.input_ids());
      return op::add(words, wpe(pass.has_position_ids() ? pass.position_ids() : nn::decoder_positions(pass)));
    };
    return {s, "h", c.n_layer, make, embed, nn::LayerNorm(s / "ln_f", c.n_embd, c.eps)};
  }
  std::function<Value(Value)> lm_head() const {
    return nn::language_head(root / "lm_head", c.tied ? wte.weight() : Weight(), c.vocab_size, c.n_embd);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Gpt2 gpt2(model, c);
  const auto make = [&](const Scope& s, std::int64_t layer) { return make_block(s, layer, c); };
  return nn::build_text_decoder_task(component, inputs, gpt2.root,
                                     {.decode = gpt2.decoder(make),
                                      .lm_head = gpt2.lm_head(),
                                      .hidden_size = c.n_embd,
                                      .num_labels = model.config().num_labels(),
                                      .pad_token_id = model.config().maybe_integer("pad_token_id"),
                                      .token_classifier = "classifier"});
}

Value logits_behind_encoder(nn::Seq2SeqPass& pass, const Model& model) {
  const Config c(model.config());
  const Gpt2 gpt2(model, c);
  const auto make = [&](const Scope& s, std::int64_t layer) { return make_cross_block(s, layer, c, pass); };
  const Value hidden = gpt2.decoder(make)(pass);
  return gpt2.lm_head()(hidden);
}

GgufLayout gguf() {
  return {.architecture = "gpt2",
          .original_class = "GPT2LMHeadModel",
          .tensors = [](const PretrainedConfig&) -> GgufTensors {
            return {{"token_embd", "transformer.wte"},
                    {"position_embd", "transformer.wpe"},
                    {"output_norm", "transformer.ln_f"},
                    {"output", "lm_head"},
                    {"blk.{}.attn_norm", "transformer.h.{}.ln_1"},
                    {"blk.{}.attn_qkv", "transformer.h.{}.attn.c_attn", transposed},
                    {"blk.{}.attn_output", "transformer.h.{}.attn.c_proj", transposed},
                    {"blk.{}.ffn_norm", "transformer.h.{}.ln_2"},
                    {"blk.{}.ffn_up", "transformer.h.{}.mlp.c_fc", transposed},
                    {"blk.{}.ffn_down", "transformer.h.{}.mlp.c_proj", transposed}};
          },
          .config_keys = {{"block_count", "n_layer"},
                          {"context_length", "n_positions"},
                          {"embedding_length", "n_embd"},
                          {"feed_forward_length", "n_inner"},
                          {"attention.head_count", "n_head"},
                          {"attention.layer_norm_epsilon", "layer_norm_epsilon"}}};
}

}  // namespace

void register_gpt2(TasksManager& tasks) {
  tasks.register_model<Gpt2OnnxConfig>(
      {.model_type = "gpt2",
       .tasks = nn::text_decoder_tasks({"text-classification", "token-classification"}),
       .forward = forward,
       .ignorable_keys = {"*.attn.bias", "*.attn.masked_bias", "*.crossattention.bias",
                          "*.crossattention.masked_bias"},
       .key_names = tied("transformer.wte", "lm_head"),
       .roles = {.cross_decoder = CrossDecoder{logits_behind_encoder, CrossDecoder::Cache::own}},
       .gguf = gguf()});
}

}  // namespace onnxport::models
