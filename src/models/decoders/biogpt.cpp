// BioGPT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/biogpt/modeling_biogpt.py
#include <cmath>

#include "models/common/definition.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/blocks.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;                // torch's default: no knob
constexpr std::int64_t kPositionOffset = 2;  // rows of the position table in front of position 0

// The token whose number is that of all tokens but padding, wherever padding is; the last one where all are
// padding.
Value counted_token(Value x, Value input_ids, std::int64_t pad) {
  Graph& graph = x.graph();
  const Value real = op::cast(op::ne(input_ids, static_cast<double>(pad)), DType::i64);
  const Value count = op::sum(real, 1);
  const Value length = op::size(graph, x.dim(1));
  const Value number = op::where(op::eq(count, 0.0), length, count);
  return nn::token_at(x, op::sub(number, 1.0));
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  const std::int64_t vocab_size = c.integer("vocab_size"), hidden_size = c.integer("hidden_size");
  const nn::Seq2SeqLayerParameters layers{.hidden_size = hidden_size,
                                          .heads = c.integer("num_attention_heads"),
                                          .ffn_dim = c.integer("intermediate_size"),
                                          .activation = c.string("hidden_act"),
                                          .norm_before = true};
  const double scale = c.flag("scale_embedding") ? std::sqrt(static_cast<double>(hidden_size)) : 1;
  const bool older = c.transformers_major() < 5;
  const auto pad = c.maybe_integer("pad_token_id");
  c.harmless({"layer_norm_eps"});  // no norm of the original reads it

  const Scope root = model.scope(), s = root.base_model("biogpt");
  const nn::Embedding embed_tokens(s / "embed_tokens", vocab_size, hidden_size);
  const nn::Embedding embed_positions(s / "embed_positions",
                                      c.integer("max_position_embeddings") + kPositionOffset, hidden_size);
  const auto embed = [&](nn::DecoderPass& pass) {
    const Value words = pass.embedded([&](Value ids) { return op::mul(embed_tokens(ids), scale); });
    const bool counted = older && !pass.has_position_ids();
    const Value positions = counted ? pass.counted_positions() : pass.position_ids();
    return op::add(words, embed_positions(op::add(positions, static_cast<double>(kPositionOffset))));
  };
  const nn::DecoderStack decoder(
      s, "layers", c.integer("num_hidden_layers"),
      [&](const Scope& layer, std::int64_t i) { return nn::Seq2SeqDecoderLayer(layer, i, layers, true); },
      embed, nn::LayerNorm(s / "layer_norm", hidden_size, kEps));
  if (component.task == "text-classification" && older && pad) {
    nn::DecoderPass pass(inputs, component.interface.states);
    const Value last = counted_token(decoder(pass), pass.input_ids(), *pad);
    return {{"logits", nn::Linear(root / "score", hidden_size, c.num_labels(), false)(last)}};
  }
  const Weight tied = c.flag("tie_word_embeddings", true) ? embed_tokens.weight() : Weight();
  return nn::build_text_decoder_task(
      component, inputs, root,
      {.decode = decoder,
       .lm_head = nn::language_head(root / "output_projection", tied, vocab_size, hidden_size),
       .hidden_size = hidden_size,
       .num_labels = c.num_labels(),
       .pad_token_id = pad});
}

}  // namespace

void register_biogpt(TasksManager& tasks) {
  tasks.register_model<TextDecoderWithPositionIdsOnnxConfig>(
      {.model_type = "biogpt",
       .tasks = {"feature-extraction", "text-generation", "text-generation-with-past", "text-classification"},
       .forward = forward,
       .key_names = tied("biogpt.embed_tokens", "output_projection")});
}

}  // namespace onnxport::models
