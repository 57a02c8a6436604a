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
#include "onnxport/nn/decoder.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
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
        n_embd(either(c, "hidden_size", "n_embd")),
        n_layer(either(c, "num_hidden_layers", "n_layer")),
        n_head(either(c, "num_attention_heads", "n_head")),
        n_inner(c.maybe_integer("n_inner").value_or(4 * n_embd)),
        n_positions(either(c, "max_position_embeddings", "n_positions")),
        activation(c.string("activation_function")),
        eps(c.real("layer_norm_epsilon")),
        tied(c.flag("tie_word_embeddings", true)),
        eager(eager_attention(c)),
        // The default attention of the original does not know these two.
        scale_weights(c.flag("scale_attn_weights", true) || !eager),
        scale_by_layer(c.flag("scale_attn_by_inverse_layer_idx", false) && eager) {
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

struct Block {
  nn::LayerNorm ln_1;
  nn::CausalAttention attn;
  nn::LayerNorm ln_2;
  nn::Mlp mlp;
  std::optional<nn::LayerNorm> ln_cross_attn;  // behind an encoder
  std::optional<nn::CrossAttention> crossattention;

  static nn::CausalAttention attention(const Scope& s, const Config& c, std::int64_t layer) {
    const nn::HeadSizes sizes{c.n_embd, c.n_head, c.n_head, c.n_embd / c.n_head};
    const nn::Linear c_attn = nn::Linear::transposed(s / "c_attn", c.n_embd, 3 * c.n_embd);
    return {s,
            {.sizes = sizes, .options = {.scale = c.attention_scale(layer)}},
            nn::QkvProjection::fused(c_attn, sizes, nn::FusedLayout::stacked),
            nn::Linear::transposed(s / "c_proj", c.n_embd, c.n_embd)};
  }

  static nn::CrossAttention cross_attention(const Scope& s, const Config& c, std::int64_t layer) {
    return {s.path(),
            c.n_head,
            {.scale = c.attention_scale(layer)},
            nn::Linear::transposed(s / "q_attn", c.n_embd, c.n_embd),
            {nn::Linear::transposed(s / "c_attn", c.n_embd, 2 * c.n_embd)},
            nn::Linear::transposed(s / "c_proj", c.n_embd, c.n_embd)};
  }

  Block(const Scope& s, const Config& c, std::int64_t layer, bool behind_encoder)
      : ln_1(s / "ln_1", c.n_embd, c.eps),
        attn(attention(s / "attn", c, layer)),
        ln_2(s / "ln_2", c.n_embd, c.eps),
        mlp((s / "mlp").path(), nn::Linear::transposed(s / "mlp" / "c_fc", c.n_embd, c.n_inner),
            nn::Linear::transposed(s / "mlp" / "c_proj", c.n_inner, c.n_embd), c.activation) {
    if (!behind_encoder) return;
    ln_cross_attn.emplace(s / "ln_cross_attn", c.n_embd, c.eps);
    crossattention.emplace(cross_attention(s / "crossattention", c, layer));
  }

  Value operator()(Value x, nn::DecoderPass& pass, nn::Seq2SeqPass* encoder, std::int64_t layer,
                   const op::AttentionMask& mask) const {
    x = op::add(x, attn(ln_1(x), pass, layer, mask));
    if (encoder != nullptr) x = op::add(x, (*crossattention)((*ln_cross_attn)(x), *encoder, layer));
    return op::add(x, mlp(ln_2(x)));
  }
};

struct Gpt2 {
  Config config;
  nn::Embedding wte, wpe;
  std::vector<Block> h;
  nn::LayerNorm ln_f;

  Gpt2(const Scope& s, const Config& c, bool behind_encoder)
      : config(c),
        wte(s / "wte", c.vocab_size, c.n_embd),
        wpe(s / "wpe", c.n_positions, c.n_embd),
        ln_f(s / "ln_f", c.n_embd, c.eps) {
    for (std::int64_t i = 0; i < c.n_layer; ++i) h.emplace_back(s / "h" / i, c, i, behind_encoder);
  }

  // The eager attention masks twice: keys that come later get -inf, padding only the lowest finite value.
  op::AttentionMask mask(const nn::DecoderPass& pass) const {
    if (!config.eager) return pass.mask();
    const Value padding = nn::padding_bias(pass.attention_mask(), pass.graph().float_dtype());
    const Value later = pass.causal_bias(-std::numeric_limits<double>::infinity());
    return {.bias = padding ? op::add(padding, later) : later};
  }

  /// `encoder`: the same pass, or null where there is none.
  Value operator()(nn::DecoderPass& pass, nn::Seq2SeqPass* encoder) const {
    const Value words = wte(pass.input_ids());
    const Value positions = pass.has_position_ids() ? pass.position_ids() : nn::decoder_positions(pass);
    Value x = op::add(words, wpe(positions));
    const op::AttentionMask visible = mask(pass);
    for (std::size_t i = 0; i < h.size(); ++i)
      x = h[i](x, pass, encoder, static_cast<std::int64_t>(i), visible);
    return ln_f(x);
  }

  nn::Linear lm_head(const Scope& root) const {
    const Weight tied = config.tied ? wte.weight() : Weight();
    return nn::output_embedding(root / "lm_head", tied, config.vocab_size, config.n_embd);
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Gpt2 gpt2(root.base_model("transformer"), c, false);
  return nn::build_text_decoder_task(component, inputs, root,
                                     {.decode = [&](nn::DecoderPass& pass) { return gpt2(pass, nullptr); },
                                      .lm_head = [&](Value hidden) { return gpt2.lm_head(root)(hidden); },
                                      .hidden_size = c.n_embd,
                                      .num_labels = model.config().num_labels(),
                                      .pad_token_id = model.config().maybe_integer("pad_token_id"),
                                      .token_classifier = "classifier"});
}

Value logits_behind_encoder(nn::Seq2SeqPass& pass, const Model& model) {
  const Scope root = model.scope();
  const Gpt2 gpt2(root.base_model("transformer"), Config(model.config()), true);
  const Value hidden = gpt2(pass, &pass);
  return gpt2.lm_head(root)(hidden);
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
       .roles = {.cross_decoder = CrossDecoder{logits_behind_encoder, CrossDecoder::Cache::own}},
       .gguf = gguf()});
}

}  // namespace onnxport::models
