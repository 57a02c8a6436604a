// GPT Neo. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/gpt_neo/modeling_gpt_neo.py
#include <fmt/format.h>

#include <limits>

#include "models/decoders/common/gpt.h"
#include "onnxport/error.h"

namespace onnxport::models {
namespace {

class GptNeoOnnxConfig : public TextDecoderWithPositionIdsOnnxConfig {
 public:
  using TextDecoderWithPositionIdsOnnxConfig::TextDecoderWithPositionIdsOnnxConfig;
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(config()).with_args(
        {{"num_layers", "num_layers"}, {"num_attention_heads", "num_heads"}});
  }
};

struct Config {
  std::int64_t vocab_size, hidden_size, layers, heads, intermediate_size, positions, window;
  std::string activation;
  double eps;
  bool tied;
  std::vector<std::string> attention_layers;  // global or local

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_layers")),
        heads(c.integer("num_heads")),
        intermediate_size(c.maybe_integer("intermediate_size").value_or(4 * hidden_size)),
        positions(c.integer("max_position_embeddings")),
        window(c.integer("window_size")),
        activation(c.string("activation_function")),
        eps(c.real("layer_norm_epsilon")),
        tied(c.flag("tie_word_embeddings", true)),
        attention_layers(c.repeated_strings("attention_types")) {
    check_multiple(c, "hidden_size", hidden_size, "num_heads", heads);
    if (c.has("attention_layers")) attention_layers = c.strings("attention_layers");  // the same, written out
    if (static_cast<std::int64_t>(attention_layers.size()) != layers) {
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: attention_types has {} layers, expected {}",
                                                           c.origin(), attention_layers.size(), layers));
    }
  }
  nn::HeadSizes sizes() const { return {hidden_size, heads, heads, hidden_size / heads}; }
  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, eps}; }
  std::optional<std::int64_t> window_of(std::int64_t layer) const {
    const std::string& type = attention_layers[static_cast<std::size_t>(layer)];
    if (type == "global") return {};
    if (type == "local") return window;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("attention_types names '{}', expected global or local", type));
  }
};

// float [S, P + S]: the lowest finite value for keys before the window, 0 for the others.
Value window_bias(const nn::DecoderPass& pass, std::int64_t window) {
  Graph& g = pass.graph();
  const ModulePath at(g, "attention_mask");
  const Value key = op::arange(g, pass.total_length());
  const Value query = op::unsqueeze(op::arange(g, pass.length(), pass.past_length()), 1);
  const Value near = op::lt(op::sub(query, key), static_cast<double>(window));
  const Value zero = op::scalar(g, 0.0, g.float_dtype());
  return op::where(near, zero, op::scalar(g, lowest(g.float_dtype()), g.float_dtype()));
}

// A layer masks the scores by order and window, and the model by order and padding.
nn::LayerMask mask(std::optional<std::int64_t> window) {
  return [window](const nn::DecoderPass& pass) {
    op::AttentionMask mask = masked_twice(pass, -std::numeric_limits<double>::infinity());
    if (window) mask.bias = op::add(mask.bias, window_bias(pass, *window));
    return mask;
  };
}

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  return {{.path = s.path(),
           .layer = layer,
           .sizes = c.sizes(),
           .qkv = nn::QkvProjection::separate(s, c.sizes(), false),
           .output = nn::Linear(s / "out_proj", c.hidden_size, c.hidden_size),
           .options = {.scale = 1},
           .mask = mask(c.window_of(layer)),
           .score_dtype = DType::f32}};  // as in the original, also in half precision
}

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  const Scope mlp = s / "mlp";
  return nn::PreNormBlock{
      .before_attention = c.norm(s / "ln_1"),
      .attention = attention(s / "attn" / "attention", layer, c),
      .before_mlp = c.norm(s / "ln_2"),
      .mlp = nn::Mlp(mlp.path(), nn::Linear(mlp / "c_fc", c.hidden_size, c.intermediate_size),
                     nn::Linear(mlp / "c_proj", c.intermediate_size, c.hidden_size), c.activation)};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("transformer");
  const nn::Embedding wte(s / "wte", c.vocab_size, c.hidden_size);
  const nn::Embedding wpe(s / "wpe", c.positions, c.hidden_size);
  const nn::DecoderStack decoder(
      s, "h", c.layers, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      [&](nn::DecoderPass& pass) {
        const Value words = pass.embedded(wte);
        return op::add(words, wpe(pass.position_ids()));
      },
      c.norm(s / "ln_f"));
  const Weight tied = c.tied ? wte.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "lm_head", tied, c.vocab_size, c.hidden_size),
       .hidden_size = c.hidden_size,
       .num_labels = model.config().num_labels(),
       .pad_token_id = model.config().maybe_integer("pad_token_id")});
}

}  // namespace

void register_gpt_neo(TasksManager& tasks) {
  tasks.register_model<GptNeoOnnxConfig>(
      {.model_type = "gpt_neo",
       .tasks = nn::text_decoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"*.attn.attention.bias", "*.attn.attention.masked_bias"},
       .key_names = tied("transformer.wte", "lm_head")});
}

}  // namespace onnxport::models
