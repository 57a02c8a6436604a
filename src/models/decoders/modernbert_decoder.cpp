// ModernBERT as a decoder. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/modernbert_decoder/modeling_modernbert_decoder.py
#include <fmt/format.h>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/rotary.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, hidden_size, intermediate_size, layers, heads;
  std::string hidden_activation, classifier_activation;
  double eps;
  bool norm_bias, attention_bias, mlp_bias, decoder_bias, classifier_bias, tied;
  op::NoKeys no_keys;
  std::vector<nn::Visibility> visibility;  // of each layer
  nn::RopeParameters global_rope, local_rope;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        intermediate_size(c.integer("intermediate_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        hidden_activation(c.string("hidden_activation")),
        classifier_activation(c.string("classifier_activation")),
        eps(c.real("norm_eps")),
        norm_bias(c.flag("norm_bias")),
        attention_bias(c.flag("attention_bias")),
        mlp_bias(c.flag("mlp_bias")),
        decoder_bias(c.flag("decoder_bias")),
        classifier_bias(c.flag("classifier_bias")),
        tied(c.flag("tie_word_embeddings", true)),
        no_keys(eager_attention(c) ? op::NoKeys::uniform : op::NoKeys::zero) {
    check_heads(c, hidden_size, heads);
    const std::int64_t every = c.integer("global_attn_every_n_layers");
    const std::int64_t local_attention = c.integer("local_attention");
    const bool older = c.transformers_major() < 5;
    // In version 4, local_attention decides; in version 5, the window of the file.
    const std::int64_t window =
        older ? local_attention / 2 : c.integer("sliding_window", local_attention / 2);
    if (every < 1 || window < 1) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: global_attn_every_n_layers is {}, local_attention {} and "
                                    "sliding_window {}, expected at least 1, 2 and 1",
                                    c.origin(), every, local_attention, window));
    }
    std::vector<std::string> types;
    for (std::int64_t i = 0; i < layers; ++i)
      types.emplace_back(i % every == 0 ? "full_attention" : "sliding_attention");
    if (c.has("layer_types")) types = c.strings("layer_types");
    visibility = layer_visibility(types, layers, window);
    // Version 4 rotates all layers alike.
    const double theta = c.real("global_rope_theta"), local = c.real("local_rope_theta");
    global_rope = rope_parameters(c, hidden_size / heads, {.layer_type = "full_attention", .theta = theta});
    local_rope = rope_parameters(c, hidden_size / heads,
                                 {.layer_type = "sliding_attention", .theta = older ? theta : local});
    c.harmless({"reference_compile"});  // the original compiles nothing by itself
    if (older) c.harmless({"sliding_window"});
  }
  nn::HeadSizes sizes() const { return {hidden_size, heads, heads, hidden_size / heads}; }
  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, eps, true, norm_bias}; }
};

nn::CausalAttention attention(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::Visibility& visible = c.visibility[static_cast<std::size_t>(layer)];
  return {{.path = s.path(),
           .layer = layer,
           .sizes = c.sizes(),
           .qkv = nn::QkvProjection::separate(s, c.sizes(), c.attention_bias),
           .output = nn::Linear(s / "Wo", c.hidden_size, c.hidden_size, c.attention_bias),
           .mask = nn::sees(visible, c.no_keys),
           .rotary = visible.window ? nn::RotaryEmbedding("local_rotary_emb", c.local_rope)
                                    : nn::RotaryEmbedding("global_rotary_emb", c.global_rope)}};
}

// Wo(act(input) * gate), where Wi computes both.
nn::FeedForward feed_forward(const Scope& s, const Config& c) {
  const nn::Linear wi(s / "Wi", c.hidden_size, 2 * c.intermediate_size, c.mlp_bias);
  const nn::Linear wo(s / "Wo", c.intermediate_size, c.hidden_size, c.mlp_bias);
  return [=, path = s.path(), activation = nn::Activation(c.hidden_activation)](Value x) {
    const ModulePath at(x, path);
    const std::vector<Value> parts = op::chunk(wi(x), -1, 2);
    const Value input = activation(parts[0]);
    return wo(op::mul(input, parts[1]));
  };
}

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  const nn::Norm first = [](Value x) { return x; };  // the embeddings have a norm
  return nn::PreNormBlock{.before_attention = layer == 0 ? first : c.norm(s / "attn_norm"),
                          .attention = attention(s / "attn", layer, c),
                          .before_mlp = c.norm(s / "mlp_norm"),
                          .mlp = feed_forward(s / "mlp", c)};
}

// norm(act(dense(x)))
Value predict(Value x, const Scope& s, const Config& c) {
  const nn::Linear dense(s / "dense", c.hidden_size, c.hidden_size, c.classifier_bias);
  return c.norm(s / "norm")(nn::Activation(c.classifier_activation)(dense(x)));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  if (component.task != "text-classification") model.config().harmless({"pad_token_id"});
  const Scope root = model.scope(), s = root.base_model("model");
  const nn::Embedding words(s / "embeddings" / "tok_embeddings", c.vocab_size, c.hidden_size);
  const nn::LayerNorm embeddings_norm = c.norm(s / "embeddings" / "norm");
  const nn::DecoderStack decoder(
      s, "layers", c.layers, [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
      [&](nn::DecoderPass& pass) { return embeddings_norm(pass.embedded(words)); }, c.norm(s / "final_norm"));
  const auto lm_head = [&](Value hidden) {
    const Weight tied = c.tied ? words.weight() : Weight();
    const nn::Linear last = nn::output_embedding(root / "decoder", tied, c.vocab_size, c.hidden_size,
                                                 c.decoder_bias ? "bias" : "");
    return last(predict(hidden, root / "lm_head", c));
  };
  const auto classify = [&](Value vector) {
    const Value predicted = predict(vector, root / "head", c);
    return nn::Linear(root / "classifier", c.hidden_size, model.config().num_labels(),
                      c.classifier_bias)(predicted);
  };
  return nn::build_text_decoder_task(component, inputs, root,
                                     {.decode = decoder,
                                      .lm_head = lm_head,
                                      .hidden_size = c.hidden_size,
                                      .pad_token_id = model.config().maybe_integer("pad_token_id"),
                                      .classify = classify});
}

}  // namespace

void register_modernbert_decoder(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "modernbert-decoder",
       .tasks = {"feature-extraction", "text-generation", "text-generation-with-past", "text-classification"},
       .forward = forward,
       .key_names = tied("model.embeddings.tok_embeddings", "decoder")});
}

}  // namespace onnxport::models
