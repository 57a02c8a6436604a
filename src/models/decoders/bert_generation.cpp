// BERT for sequence generation: an encoder, or a decoder. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bert_generation/modeling_bert_generation.py
#include <fmt/format.h>

#include <algorithm>

#include "models/common/definition.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/causal_attention.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, hidden_size, layers, heads, intermediate_size, positions;
  std::string activation;
  double eps;
  bool decoder, tied;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        intermediate_size(c.integer("intermediate_size")),
        positions(c.integer("max_position_embeddings")),
        activation(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")),
        decoder(c.flag("is_decoder", false)),
        tied(c.flag("tie_word_embeddings", true)) {
    check_heads(c, hidden_size, heads);
    const std::string type = c.string("position_embedding_type");
    if (type != "absolute") {
      throw ExportError(
          ErrorCode::unsupported,
          fmt::format("{}: position_embedding_type is '{}', expected absolute", c.origin(), type));
    }
    c.harmless({"pad_token_id"});  // the row of the table that was not trained
  }
  nn::HeadSizes sizes() const { return {hidden_size, heads, heads, hidden_size / heads}; }
  nn::LayerNorm norm(const Scope& s) const { return {s, hidden_size, eps}; }
};

nn::Block make_block(const Scope& s, std::int64_t layer, const Config& c) {
  const Scope attention = s / "attention", up = s / "intermediate", down = s / "output";
  return nn::PostNormBlock{
      .attention = nn::CausalAttention(
          {.path = attention.path(),
           .layer = layer,
           .sizes = c.sizes(),
           .qkv = nn::QkvProjection::separate(attention / "self", c.sizes(), true, "query", "key", "value"),
           .output = nn::Linear(attention / "output" / "dense", c.hidden_size, c.hidden_size),
           .mask = nn::sees({.both_ways = !c.decoder}, op::NoKeys::uniform)}),
      .after_attention = c.norm(attention / "output" / "LayerNorm"),
      .mlp = nn::Mlp(s.path(), nn::Linear(up / "dense", c.hidden_size, c.intermediate_size),
                     nn::Linear(down / "dense", c.intermediate_size, c.hidden_size), c.activation),
      .after_mlp = c.norm(down / "LayerNorm")};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope(), s = root.base_model("bert"), embeddings = s / "embeddings";
  const nn::Embedding words(embeddings / "word_embeddings", c.vocab_size, c.hidden_size);
  const nn::Embedding positions(embeddings / "position_embeddings", c.positions, c.hidden_size);
  const nn::LayerNorm norm = c.norm(embeddings / "LayerNorm");
  const auto embed = [&](nn::DecoderPass& pass) {
    const Value tokens = pass.embedded(words);
    return norm(op::add(tokens, positions(pass.position_ids())));
  };
  const nn::DecoderStack decoder(s, "encoder.layer", c.layers,
                                 [&](const Scope& layer, std::int64_t i) { return make_block(layer, i, c); },
                                 embed, {});
  const auto lm_head = [&](Value hidden) {
    const Scope head = root / "lm_head";
    const nn::Linear linear = nn::output_embedding(head / "decoder", c.tied ? words.weight() : Weight(),
                                                   c.vocab_size, c.hidden_size);
    const bool named = head.has("bias");  // else only the copy in the layer
    if (named) head.ignore("decoder.bias");
    const Weight bias = head.weight(named ? "bias" : "decoder.bias", {c.vocab_size});
    return nn::Linear(linear.path(), linear.weight(), bias)(hidden);
  };
  return nn::build_text_decoder_task(component, inputs, root,
                                     {.decode = decoder, .lm_head = lm_head, .hidden_size = c.hidden_size});
}

// An encoder has no cache.
std::vector<std::string> tasks_of(const PretrainedConfig& config) {
  std::vector<std::string> tasks = {"feature-extraction", "text-generation"};
  if (config.unaccounted().flag("is_decoder", false)) tasks.emplace_back("text-generation-with-past");
  return tasks;
}

}  // namespace

void register_bert_generation(TasksManager& tasks) {
  tasks.register_model<TextDecoderOnnxConfig>(
      {.model_type = "bert-generation",
       .tasks = {"feature-extraction", "text-generation", "text-generation-with-past"},
       .forward = forward,
       .ignorable_keys = {"*embeddings.position_ids"},
       .key_names = tied("bert.embeddings.word_embeddings", "lm_head.decoder"),
       .tasks_of = tasks_of});
}

}  // namespace onnxport::models
