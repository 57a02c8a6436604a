// OPT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/opt/modeling_opt.py
#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;                // torch's default: no knob
constexpr std::int64_t kPositionOffset = 2;  // rows of the position table in front of position 0

class OptOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  std::int64_t padded_position_id() const override { return -1; }
};

struct Config {
  std::int64_t vocab_size, hidden_size, layers, heads, ffn_dim, max_positions, word_width;
  std::string activation;
  bool bias, affine, norm_before, final_norm, tied;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        ffn_dim(c.integer("ffn_dim")),
        max_positions(c.integer("max_position_embeddings")),
        word_width(c.maybe_integer("word_embed_proj_dim").value_or(hidden_size)),
        activation(c.string("activation_function")),
        bias(c.flag("enable_bias")),
        affine(c.flag("layer_norm_elementwise_affine")),
        norm_before(c.flag("do_layer_norm_before")),
        final_norm(norm_before && !c.flag("_remove_final_layer_norm")),
        tied(c.flag("tie_word_embeddings", true)) {}
};

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::HeadSizes sizes{c.hidden_size, c.heads, c.heads, c.hidden_size / c.heads};
  return {{.path = s.path(),
           .layer = layer,
           .sizes = sizes,
           .qkv = nn::QkvProjection::separate(s, sizes, c.bias),
           .output = nn::Linear(s / "out_proj", c.hidden_size, c.hidden_size, c.bias),
           .mask = nn::sees({}, op::NoKeys::uniform)}};
}

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::LayerNorm attention_norm(s / "self_attn_layer_norm", c.hidden_size, kEps, c.affine);
  const nn::LayerNorm mlp_norm(s / "final_layer_norm", c.hidden_size, kEps, c.affine);
  const nn::CausalAttention self_attn = attention(s / "self_attn", layer, c);
  const nn::Mlp mlp(s.path(), nn::Linear(s / "fc1", c.hidden_size, c.ffn_dim, c.bias),
                    nn::Linear(s / "fc2", c.ffn_dim, c.hidden_size, c.bias), c.activation);
  if (c.norm_before) return nn::PreNormBlock{attention_norm, self_attn, mlp_norm, mlp};
  return nn::PostNormBlock{self_attn, attention_norm, mlp, mlp_norm};
}

// Positions count real tokens; padding is -1. Tasks without position_ids take them from the mask.
Value positions(const nn::DecoderPass& pass) {
  return pass.has_position_ids() ? pass.position_ids() : pass.counted_positions();
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("model") / "decoder";
  const nn::Embedding embed_tokens(s / "embed_tokens", c.vocab_size, c.word_width);
  const nn::Embedding embed_positions(s / "embed_positions", c.max_positions + kPositionOffset,
                                      c.hidden_size);
  std::optional<nn::Linear> project_in, project_out;
  if (c.word_width != c.hidden_size) {
    project_in.emplace(s / "project_in", c.word_width, c.hidden_size, false);
    project_out.emplace(s / "project_out", c.hidden_size, c.word_width, false);
  }
  std::optional<nn::LayerNorm> final_norm;
  if (c.final_norm) final_norm.emplace(s / "final_layer_norm", c.hidden_size, kEps, c.affine);
  const auto embed = [&](nn::DecoderPass& pass) {
    const Value words = pass.embedded(embed_tokens);
    const Value rows = op::add(positions(pass), static_cast<double>(kPositionOffset));
    return op::add(project_in ? (*project_in)(words) : words, embed_positions(rows));
  };
  const auto finish = [&](Value x) {
    if (final_norm) x = (*final_norm)(x);
    return project_out ? (*project_out)(x) : x;
  };
  const nn::DecoderStack decoder(
      s, "layers", c.layers, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      embed, finish);
  const Weight tied = c.tied ? embed_tokens.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "lm_head", tied, c.vocab_size, c.word_width),
       .hidden_size = c.word_width,
       .num_labels = model.config().num_labels(),
       .pad_token_id = model.config().maybe_integer("pad_token_id")});
}

}  // namespace

void register_opt(TasksManager& tasks) {
  tasks.register_model<OptOnnxConfig>(
      {.model_type = "opt",
       .tasks = nn::text_decoder_tasks({"text-classification", "question-answering"}),
       .forward = forward,
       .key_names = tied("model.decoder.embed_tokens", "lm_head")});
}

}  // namespace onnxport::models
