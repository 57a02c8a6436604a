// FSMT: the translation models of fairseq, with a vocabulary for each language. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/fsmt/modeling_fsmt.py
#include <cmath>

#include "models/common/definition.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

class FsmtOnnxConfig : public TextSeq2SeqOnnxConfig {
 public:
  using TextSeq2SeqOnnxConfig::TextSeq2SeqOnnxConfig;
  NormalizedConfig normalized_config() const override {
    const PretrainedConfig c = config().unaccounted();
    const bool source = c.integer("src_vocab_size") < c.integer("tgt_vocab_size");
    return NormalizedSeq2SeqConfig(config()).with_args(
        {{"vocab_size", source ? "src_vocab_size" : "tgt_vocab_size"}});
  }
};

struct Config {
  std::int64_t d_model, pad, positions, source_vocab, target_vocab, encoder_layers, decoder_layers;
  double scale;
  bool tied;
  nn::Seq2SeqLayerParameters encoder, decoder;

  explicit Config(const PretrainedConfig& c)
      : d_model(c.integer("d_model")),
        pad(c.maybe_integer("pad_token_id").value_or(1)),
        positions(c.integer("max_position_embeddings") + pad + 1),
        source_vocab(c.integer("src_vocab_size")),
        target_vocab(c.integer("tgt_vocab_size")),
        encoder_layers(c.integer("encoder_layers")),
        decoder_layers(c.integer("decoder_layers")),
        scale(c.flag("scale_embedding") ? std::sqrt(static_cast<double>(d_model)) : 1),
        tied(c.flag("tie_word_embeddings")),
        encoder(layer(c, "encoder")),
        decoder(layer(c, "decoder")) {
    // The class makes `decoder` from other keys. The last four are for generation.
    c.harmless({"langs", "num_hidden_layers", "is_encoder_decoder", "decoder", "max_length", "num_beams",
                "length_penalty", "early_stopping"});
  }

 private:
  nn::Seq2SeqLayerParameters layer(const PretrainedConfig& c, const std::string& side) const {
    return {.hidden_size = d_model,
            .heads = c.integer(side + "_attention_heads"),
            .ffn_dim = c.integer(side + "_ffn_dim"),
            .activation = c.string("activation_function")};
  }
};

// Positions count the tokens that are not padding. A stored table wins over the computed one.
nn::SinusoidalPositions positions(const Scope& s, const Config& c) {
  const Weight stored = s.try_weight("weight", {c.positions, c.d_model});
  if (stored) return {s.path(), stored, c.pad};
  return {s, c.positions, c.d_model, c.pad};
}

struct Side {
  const Config& c;
  nn::Embedding embed_tokens;
  nn::SinusoidalPositions embed_positions;

  Side(const Scope& s, const Scope& words, std::int64_t vocab, const Config& config)
      : c(config),
        embed_tokens(words, vocab, c.d_model),
        embed_positions(positions(s / "embed_positions", c)) {}
  Value embed(Value ids) const {
    const Value words = op::mul(embed_tokens(ids), c.scale);
    return op::add(words, embed_positions(ids));
  }
};

Value encode(const Scope& s, const Config& c, const Inputs& in) {
  const Side side(s, s / "embed_tokens", c.source_vocab, c);
  const op::AttentionMask mask = nn::padding_mask(in["attention_mask"]);
  Value x = side.embed(in["input_ids"]);
  for (std::int64_t i = 0; i < c.encoder_layers; ++i)
    x = nn::Seq2SeqEncoderLayer(s / "layers" / i, c.encoder)(x, mask);
  return x;
}

// The decoder ends with the output layer. Transformers 4 stores one table for it and the words, under either
// name; version 5 has two.
Value decode(const Scope& base, const Config& c, nn::Seq2SeqPass& pass, bool whole) {
  const Scope s = base / "decoder";
  Scope words = s / "embed_tokens", head = s / "output_projection";
  if (c.tied) words = head = base / "encoder" / "embed_tokens";
  if (!words.exists()) words = head;
  if (!head.exists()) head = words;
  for (const char* copy : {"embed_tokens.weight", "output_projection.weight"}) s.ignore(copy);
  const Side side(s, words, c.target_vocab, c);
  const Value ids = pass.input_ids();
  nn::Seq2SeqLayerParameters layer = c.decoder;
  // The original makes masks only if it encodes as well: alone, its decoder sees all tokens.
  layer.mask = [&](const nn::DecoderPass&) {
    if (!whole) return op::AttentionMask{};
    return op::AttentionMask{.padding = op::ne(ids, static_cast<double>(c.pad)), .causal = true};
  };
  Value x = side.embed(ids);
  for (std::int64_t i = 0; i < c.decoder_layers; ++i)
    x = nn::Seq2SeqDecoderLayer(s / "layers" / i, i, layer)(x, pass, &pass);
  return nn::Linear(head, c.d_model, c.target_vocab, false)(x);
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope base = model.scope().base_model("model");
  const bool whole = component.part.empty();
  return nn::build_seq2seq_task(
      component, inputs,
      {.encode = [&](const Inputs& in) { return encode(base / "encoder", c, in); },
       .decode = [&](nn::Seq2SeqPass& pass) { return decode(base, c, pass, whole); },
       .lm_head = [](Value logits) { return logits; }});
}

}  // namespace

void register_fsmt(TasksManager& tasks) {
  tasks.register_model<FsmtOnnxConfig>(
      {.model_type = "fsmt", .tasks = {"feature-extraction", "text2text-generation"}, .forward = forward});
}

}  // namespace onnxport::models
