// OPT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/opt/modeling_opt.py
#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"

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

struct Layer {
  bool norm_before;
  nn::CausalAttention self_attn;
  nn::LayerNorm self_attn_layer_norm;
  nn::Mlp mlp;
  nn::LayerNorm final_layer_norm;

  static nn::CausalAttention attention(const Scope& s, const Config& c) {
    const nn::HeadSizes sizes{c.hidden_size, c.heads, c.heads, c.hidden_size / c.heads};
    return {s,
            {.sizes = sizes},
            nn::QkvProjection::separate(s, sizes, c.bias),
            nn::Linear(s / "out_proj", c.hidden_size, c.hidden_size, c.bias)};
  }

  Layer(const Scope& s, const Config& c)
      : norm_before(c.norm_before),
        self_attn(attention(s / "self_attn", c)),
        self_attn_layer_norm(s / "self_attn_layer_norm", c.hidden_size, kEps, c.affine),
        mlp(s.path(), nn::Linear(s / "fc1", c.hidden_size, c.ffn_dim, c.bias),
            nn::Linear(s / "fc2", c.ffn_dim, c.hidden_size, c.bias), c.activation),
        final_layer_norm(s / "final_layer_norm", c.hidden_size, kEps, c.affine) {}

  Value operator()(Value x, nn::DecoderPass& pass, std::int64_t layer, const op::AttentionMask& mask) const {
    if (norm_before) {
      x = op::add(x, self_attn(self_attn_layer_norm(x), pass, layer, mask));
      return op::add(x, mlp(final_layer_norm(x)));
    }
    x = self_attn_layer_norm(op::add(x, self_attn(x, pass, layer, mask)));
    return final_layer_norm(op::add(x, mlp(x)));
  }
};

struct Opt {
  nn::Embedding embed_tokens, embed_positions;
  std::optional<nn::Linear> project_in, project_out;
  std::vector<Layer> layers;
  std::optional<nn::LayerNorm> final_layer_norm;

  Opt(const Scope& s, const Config& c)
      : embed_tokens(s / "embed_tokens", c.vocab_size, c.word_width),
        embed_positions(s / "embed_positions", c.max_positions + kPositionOffset, c.hidden_size) {
    if (c.word_width != c.hidden_size) {
      project_in.emplace(s / "project_in", c.word_width, c.hidden_size, false);
      project_out.emplace(s / "project_out", c.hidden_size, c.word_width, false);
    }
    for (std::int64_t i = 0; i < c.layers; ++i) layers.emplace_back(s / "layers" / i, c);
    if (c.final_norm) final_layer_norm.emplace(s / "final_layer_norm", c.hidden_size, kEps, c.affine);
  }

  // Positions count real tokens; padding is -1. Tasks without position_ids take them from the mask.
  static Value positions(const nn::DecoderPass& pass) {
    if (pass.has_position_ids()) return pass.position_ids();
    const Value mask = op::cast(pass.attention_mask(), DType::i64);
    const Value counted = op::sub(op::mul(op::cumsum(mask, 1), mask), 1.0);
    return op::slice(counted, 1, pass.past_length(), pass.total_length());
  }

  Value operator()(nn::DecoderPass& pass) const {
    Value x = embed_tokens(pass.input_ids());
    if (project_in) x = (*project_in)(x);
    x = op::add(x, embed_positions(op::add(positions(pass), static_cast<double>(kPositionOffset))));
    const op::AttentionMask mask = pass.mask({}, op::NoKeys::uniform);
    for (std::size_t i = 0; i < layers.size(); ++i)
      x = layers[i](x, pass, static_cast<std::int64_t>(i), mask);
    if (final_layer_norm) x = (*final_layer_norm)(x);
    return project_out ? (*project_out)(x) : x;
  }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Opt opt(root.base_model("model") / "decoder", c);
  const auto lm_head = [&](Value hidden) {
    const Weight tied = c.tied ? opt.embed_tokens.weight() : Weight();
    return nn::output_embedding(root / "lm_head", tied, c.vocab_size, c.word_width)(hidden);
  };
  return nn::build_text_decoder_task(component, inputs, root,
                                     {.decode = opt,
                                      .lm_head = lm_head,
                                      .hidden_size = c.word_width,
                                      .num_labels = model.config().num_labels(),
                                      .pad_token_id = model.config().maybe_integer("pad_token_id")});
}

}  // namespace

void register_opt(TasksManager& tasks) {
  tasks.register_model<OptOnnxConfig>(
      {.model_type = "opt",
       .tasks = nn::text_decoder_tasks({"text-classification", "question-answering"}),
       .forward = forward});
}

}  // namespace onnxport::models
