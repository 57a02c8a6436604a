// GPT-2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gpt2/modeling_gpt2.py
#include <cmath>
#include <limits>

#include "models/common/gguf_layout.h"
#include "models/decoders/common/gpt.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

struct Config : GptConfig {
  bool tied, eager;
  GptScale scale;

  explicit Config(const PretrainedConfig& c)
      : GptConfig(c), tied(c.flag("tie_word_embeddings", true)), eager(eager_attention(c)), scale(c) {
    // The default attention of transformers 4 does not know these two.
    if (!eager && c.transformers_major() < 5) {
      scale.weights = true;
      scale.by_layer = false;
    }
    // The order of operations in half precision, and the head of a task that is not exported.
    c.harmless({"reorder_and_upcast_attn", "summary_type", "summary_use_proj", "summary_activation",
                "summary_proj_to_labels"});
  }

  double attention_scale(std::int64_t layer) const {
    return scale(std::sqrt(static_cast<double>(sizes().head_dim)), layer);
  }
};

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  nn::CausalAttentionParts parts = gpt_attention(s, layer, c);
  parts.options.scale = c.attention_scale(layer);
  if (c.eager) {
    parts.mask = [](const nn::DecoderPass& pass) {
      return masked_twice(pass, -std::numeric_limits<double>::infinity());
    };
  }
  return parts;
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
  return {.before_attention = c.norm(s / "ln_1"),
          .attention = attention(s / "attn", layer, c),
          .before_mlp = c.norm(s / "ln_2"),
          .mlp = gpt_mlp(s / "mlp", c)};
}

// The same with attention to an encoder between its two halves.
nn::Block make_cross_block(const Scope& s, std::int64_t layer, const Config& c, nn::Seq2SeqPass& encoder) {
  const nn::LayerNorm norm = c.norm(s / "ln_cross_attn");
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
  GptEmbeddings embed;

  Gpt2(const Model& model, const Config& config)
      : c(config), root(model.scope()), s(root.base_model("transformer")), embed(s, c) {}

  nn::DecoderStack decoder(const nn::MakeBlock& make) const {
    return {s, "h", c.n_layer, make, embed, c.norm(s / "ln_f")};
  }
  std::function<Value(Value)> lm_head() const {
    return nn::language_head(root / "lm_head", c.tied ? embed.wte.weight() : Weight(), c.vocab_size,
                             c.n_embd);
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
  tasks.register_model<GptOnnxConfig>(
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
