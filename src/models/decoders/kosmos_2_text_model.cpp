// The language model of KOSMOS-2: a decoder with norms inside of attention and feed-forward. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/kosmos2/modeling_kosmos2.py
#include <cmath>

#include "models/common/definition.h"
#include "models/decoders/common/gpt.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kPositionOffset = 2;  // rows that the table of positions has more

// position_ids are rows of the table: pad_token_id for padding, and the numbers behind it for real tokens.
class Kosmos2TextOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(config()).with_args(
        {{"num_layers", "layers"}, {"num_attention_heads", "attention_heads"}, {"hidden_size", "embed_dim"}});
  }
};

struct Config {
  std::int64_t vocab_size, embed_dim, layers, heads, ffn_dim, max_positions, pad;
  std::string activation;
  double eps, scale;
  bool tied;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        embed_dim(c.integer("embed_dim")),
        layers(c.integer("layers")),
        heads(c.integer("attention_heads")),
        ffn_dim(c.integer("ffn_dim")),
        max_positions(c.integer("max_position_embeddings")),
        pad(c.maybe_integer("pad_token_id").value_or(-1)),
        activation(c.string("activation_function")),
        eps(c.real("layer_norm_eps")),
        scale(c.flag("scale_embedding") ? std::sqrt(static_cast<double>(embed_dim)) : 1),
        tied(c.flag("tie_word_embeddings", true)) {
    check_multiple(c, "embed_dim", embed_dim, "attention_heads", heads);
  }
  nn::LayerNorm norm(const Scope& s) const { return {s, embed_dim, eps}; }
};

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::HeadSizes sizes{c.embed_dim, c.heads, c.heads, c.embed_dim / c.heads};
  const nn::LayerNorm norm = c.norm(s / "inner_attn_ln");
  const nn::Linear project(s / "out_proj", c.embed_dim, c.embed_dim);
  return {{.path = s.path(),
           .layer = layer,
           .sizes = sizes,
           .qkv = nn::QkvProjection::separate(s, sizes, true),
           .output = [=](Value x) { return project(norm(x)); },
           .mask =
               [](const nn::DecoderPass& pass) {
                 return masked_twice(pass, lowest(pass.graph().float_dtype()));
               }}};
}

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  const Scope f = s / "ffn";
  const nn::Linear up(f / "fc1", c.embed_dim, c.ffn_dim), down(f / "fc2", c.ffn_dim, c.embed_dim);
  const nn::LayerNorm inner(f / "ffn_layernorm", c.ffn_dim, c.eps);
  const nn::Activation activation(c.activation);
  const auto mlp = [=, path = f.path()](Value x) {
    const ModulePath at(x, path);
    return down(inner(activation(up(x))));
  };
  return nn::PreNormBlock{c.norm(s / "self_attn_layer_norm"), attention(s / "self_attn", layer, c),
                          c.norm(s / "final_layer_norm"), mlp};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("model");
  const nn::Embedding embed_tokens(s / "embed_tokens", c.vocab_size, c.embed_dim);
  const nn::SinusoidalPositions embed_positions(s / "embed_positions", c.max_positions + kPositionOffset,
                                                c.embed_dim, c.pad);
  const auto embed = [&](nn::DecoderPass& pass) {
    const Value words = op::mul(pass.embedded(embed_tokens), c.scale);
    return op::add(words, embed_positions.rows(pass.position_ids()));
  };
  const nn::DecoderStack decoder(
      s, "layers", c.layers, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      embed, c.norm(s / "layer_norm"));
  const Weight tied = c.tied ? embed_tokens.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "lm_head", tied, c.vocab_size, c.embed_dim),
       .hidden_size = c.embed_dim});
}

}  // namespace

void register_kosmos_2_text_model(TasksManager& tasks) {
  tasks.register_model<Kosmos2TextOnnxConfig>({.model_type = "kosmos_2_text_model",
                                               .forward = forward,
                                               .key_names = tied("model.embed_tokens", "lm_head"),
                                               .roles = {.language_model = LanguageModelRole{}}});
}

}  // namespace onnxport::models
