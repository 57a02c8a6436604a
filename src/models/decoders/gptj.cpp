// GPT-J. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gptj/modeling_gptj.py
#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, n_embd, n_layer, n_head, n_inner, rotary_dim;
  std::string activation;
  double eps;
  bool tied;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        n_embd(c.integer("n_embd")),
        n_layer(c.integer("n_layer")),
        n_head(c.integer("n_head")),
        n_inner(c.maybe_integer("n_inner").value_or(4 * n_embd)),
        rotary_dim(c.maybe_integer("rotary_dim").value_or(n_embd)),
        activation(c.string("activation_function")),
        eps(c.real("layer_norm_epsilon")),
        tied(c.flag("tie_word_embeddings", false)) {
    c.harmless({"max_position_embeddings", "n_positions"});  // the original's table of angles, computed here
    check_multiple(c, "n_embd", n_embd, "n_head", n_head);
  }
};

class GptjOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(config()).with_args(
        {{"max_position_embeddings", "n_positions"}, {"hidden_size", "n_embd"}});
  }
  std::vector<StateSpec> states() const override {
    const Config c(config().unaccounted());
    return key_values(c.n_layer, c.n_head, c.n_embd / c.n_head);
  }
};

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::HeadSizes sizes{c.n_embd, c.n_head, c.n_head, c.n_embd / c.n_head};
  return {{.path = s.path(),
           .layer = layer,
           .sizes = sizes,
           .qkv = nn::QkvProjection::separate(s, sizes, false),
           .output = nn::Linear(s / "out_proj", c.n_embd, c.n_embd, false),
           .mask = nn::sees({}, op::NoKeys::uniform),
           .rotary = nn::RotaryEmbedding("rotary_emb", {.dim = c.rotary_dim, .interleaved = true}),
           .score_dtype = DType::f32}};  // as in the original, also in half precision
}

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  const Scope mlp = s / "mlp";
  return nn::ParallelBlock{.before_attention = nn::LayerNorm(s / "ln_1", c.n_embd, c.eps),
                           .attention = attention(s / "attn", layer, c),
                           .mlp = nn::Mlp(mlp.path(), nn::Linear(mlp / "fc_in", c.n_embd, c.n_inner),
                                          nn::Linear(mlp / "fc_out", c.n_inner, c.n_embd), c.activation)};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("transformer"), head = root / "lm_head";
  const nn::Embedding wte(s / "wte", c.vocab_size, c.n_embd);
  const nn::DecoderStack decoder(
      s, "h", c.n_layer, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      [&](nn::DecoderPass& pass) { return wte(pass.input_ids()); },
      nn::LayerNorm(s / "ln_f", c.n_embd, c.eps));
  const auto lm_head = [&](Value hidden) {
    if (!c.tied) return nn::Linear(head, c.n_embd, c.vocab_size)(hidden);
    head.ignore("weight");
    return nn::Linear(head.path(), wte.weight(), head.weight("bias", {c.vocab_size}))(hidden);
  };
  return nn::build_text_decoder_task(component, inputs, root,
                                     {.decode = decoder,
                                      .lm_head = lm_head,
                                      .hidden_size = c.n_embd,
                                      .num_labels = model.config().num_labels(),
                                      .pad_token_id = model.config().maybe_integer("pad_token_id")});
}

}  // namespace

void register_gptj(TasksManager& tasks) {
  tasks.register_model<GptjOnnxConfig>(
      {.model_type = "gptj",
       .tasks = nn::text_decoder_tasks({"text-classification", "question-answering"}),
       .forward = forward,
       .ignorable_keys = {"*.attn.bias", "*.attn.masked_bias", "*.attn.embed_positions"},
       .key_names = tied("transformer.wte", "lm_head")});
}

}  // namespace onnxport::models
