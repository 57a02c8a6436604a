// BART. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/bart/modeling_bart.py
#include "models/encoder_decoders/common/bart.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/decoder_tasks.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/nn/text_tasks.h"

#include <cmath>

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // torch's default, not configurable

nn::Seq2SeqLayerParameters layer(const PretrainedConfig& c, const std::string& side) {
  return {.hidden_size = c.integer("d_model"),
          .heads = c.integer(side + "_attention_heads"),
          .ffn_dim = c.integer(side + "_ffn_dim"),
          .activation = c.string("activation_function")};
}

// Encoder or decoder: embeddings, layers, and the norms around them.
struct Side {
  using EmbeddingNorm = BartConfig::EmbeddingNorm;
  EmbeddingNorm kind;
  double scale;
  nn::Embedding words;
  BartConfig::Positions positions;
  std::optional<nn::LayerNorm> embedding_norm, final_norm;

  Side(const Scope& s, const Scope& words_scope, const BartConfig& c, EmbeddingNorm norm, double word_scale)
      : kind(norm),
        scale(word_scale),
        words(words_scope, c.rows_of(words_scope), c.d_model),
        positions(c.positions(s)) {
    if (kind != EmbeddingNorm::none) embedding_norm.emplace(s / "layernorm_embedding", c.d_model, kEps);
    if (!c.final_norm.empty()) final_norm.emplace(s / c.final_norm, c.d_model, kEps);
  }
  // ids [B, S] -> [B, S, d_model]
  Value embed(Value ids) const {
    const Value x = words(ids);
    return scale == 1 ? x : op::mul(x, scale);
  }
  // x [B, S, d_model] with positions. ids [B, S]; if the caller has only vectors, these [B, S, d_model],
  // which positions that count tokens cannot do with.
  Value place(Value x, Value ids, const Dim& past) const {
    if (kind == EmbeddingNorm::of_words) x = (*embedding_norm)(x);
    x = op::add(x, positions(ids, past));
    return kind == EmbeddingNorm::of_sum ? (*embedding_norm)(x) : x;
  }
};

// The scope of a side's word embeddings: under their own name, the shared name, or the name of the other
// side. Without a tie, a side may have a table of its own beside the shared one.
Scope words_of(const Scope& base, const char* side, const BartConfig& c) {
  Scope own = base / side / "embed_tokens";
  Scope shared = base / "shared";
  if (!c.one_vocabulary) return own;
  if (!c.tied && own.exists()) {
    base.ignore("shared.weight");
    return own;
  }
  for (const Scope& place :
       {shared, own, base / "encoder" / "embed_tokens", base / "decoder" / "embed_tokens"}) {
    if (!place.exists()) continue;
    for (const char* copy : {"shared", "encoder.embed_tokens", "decoder.embed_tokens"}) {
      if ((base / copy).path() != place.path()) base.ignore(std::string(copy) + ".weight");
    }
    return place;
  }
  return shared;
}

// From input_ids or, in models around this one, inputs_embeds.
Value encode(const Scope& base, const BartConfig& c, const Inputs& inputs) {
  const Side side(base / "encoder", words_of(base, "encoder", c), c, c.encoder_embedding, c.encoder_scale);
  const Value given = inputs.get("inputs_embeds"), attention_mask = inputs["attention_mask"];
  const Value tokens = given ? given : inputs["input_ids"];
  Value x = side.place(given ? given : side.embed(tokens), tokens, 0);
  const op::AttentionMask mask = nn::padding_mask(attention_mask);
  for (std::int64_t i = 0; i < c.encoder_layers; ++i) {
    const Scope s = base / "encoder" / "layers" / i;
    const auto layer =
        c.encoder_layer ? c.encoder_layer(s, i, attention_mask) : nn::Seq2SeqEncoderLayer(s, c.encoder);
    x = layer(x, mask);
  }
  return side.final_norm ? (*side.final_norm)(x) : x;
}

Value decode(const Scope& base, const BartConfig& c, nn::DecoderPass& pass, nn::Seq2SeqPass* encoder) {
  const Side side(base / "decoder", words_of(base, "decoder", c), c, c.decoder_embedding, c.decoder_scale);
  Value tokens;
  const Value embeds = pass.embedded([&](Value ids) { return side.embed(tokens = ids); });
  Value x = side.place(embeds, tokens ? tokens : embeds, pass.past_length());
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) {
    const Scope s = base / "decoder" / "layers" / i;
    const auto layer = c.decoder_layer ? c.decoder_layer(s, i)
                                       : nn::Seq2SeqDecoderLayer(s, i, c.decoder, encoder == nullptr);
    x = layer(x, pass, encoder);
  }
  return side.final_norm ? (*side.final_norm)(x) : x;
}

Value lm_head(const Scope& root, const Scope& base, const BartConfig& c, Value hidden, bool bias) {
  Weight words;
  if (c.tied) {
    const Scope table = words_of(base, "decoder", c);
    words = table.weight("weight", {c.rows_of(table), c.d_model});
  }
  const std::int64_t rows = c.one_vocabulary ? c.vocab_size : c.decoder_vocab_size;
  const nn::Linear head = nn::output_embedding(root / "lm_head", words, rows, c.d_model);
  Weight logits_bias;
  if (bias && c.logits_bias) logits_bias = root.try_weight("final_logits_bias", {1, rows});
  if (logits_bias) return nn::Linear(head.path(), head.weight(), logits_bias.reshape({rows}))(hidden);
  return head(hidden);
}

// The whole model on one text. The decoder reads the text shifted.
Value decode_shifted(const Scope& base, const BartConfig& c, const Inputs& inputs) {
  const Value ids = inputs["input_ids"];
  const Value states = encode(base, c, inputs);
  nn::Seq2SeqPass pass(inputs.with("decoder_input_ids", c.shift_right(ids)), states,
                       inputs["attention_mask"]);
  return decode(base, c, pass, &pass);
}

}  // namespace

BartConfig::BartConfig(const PretrainedConfig& c)
    : vocab_size(c.integer("vocab_size")),
      decoder_vocab_size(c.integer("decoder_vocab_size", vocab_size)),
      d_model(c.integer("d_model")),
      max_positions(c.integer("max_position_embeddings")),
      encoder_layers(c.integer("encoder_layers")),
      decoder_layers(c.integer("decoder_layers")),
      num_labels(c.num_labels()),
      encoder(layer(c, "encoder")),
      decoder(layer(c, "decoder")),
      encoder_scale(c.flag("scale_embedding") ? std::sqrt(static_cast<double>(d_model)) : 1),
      decoder_scale(encoder_scale),
      tied(c.flag("tie_word_embeddings", true)),
      pad_token_id(c.maybe_integer("pad_token_id")),
      eos_token_id(c.maybe_integer("eos_token_id")),
      decoder_start_token_id(c.maybe_integer("decoder_start_token_id")) {
  if (decoder_vocab_size == 0) decoder_vocab_size = vocab_size;
  c.harmless({"num_hidden_layers", "is_encoder_decoder", "is_decoder", "add_cross_attention"});
}

std::int64_t BartConfig::rows_of(const Scope& words) const {
  const auto shape = words.shape_of("weight");
  const bool other = !one_vocabulary && shape && shape->front() == decoder_vocab_size;
  return other ? decoder_vocab_size : vocab_size;
}

void BartConfig::norm_first() {
  encoder.norm_before = decoder.norm_before = true;
  final_norm = "layer_norm";
  encoder_embedding = decoder_embedding = EmbeddingNorm::none;
}

std::function<BartConfig::Positions(const Scope&)> learned_positions(const BartConfig& c,
                                                                     std::int64_t extra_rows) {
  return [rows = c.max_positions + extra_rows, width = c.d_model,
          extra_rows](const Scope& side) -> BartConfig::Positions {
    const nn::Embedding table(side / "embed_positions", rows, width);
    return [table, extra_rows](Value ids, const Dim& past) {
      return table(op::arange(ids.graph(), ids.dim(1), past + extra_rows));
    };
  };
}

std::function<BartConfig::Positions(const Scope&)> sinusoidal_positions(const BartConfig& c) {
  return [rows = c.max_positions, width = c.d_model](const Scope& side) -> BartConfig::Positions {
    Weight table = (side / "embed_positions").try_weight("weight", {rows, width});
    if (!table) table = nn::sinusoidal_table(rows, width);
    return [table](Value ids, const Dim& past) {
      return op::slice(ids.graph().weight(table), 0, past, past + ids.dim(1));
    };
  };
}

std::function<BartConfig::Positions(const Scope&)> counted_positions(const BartConfig& c) {
  return [rows = c.max_positions + 2, width = c.d_model,
          pad = c.pad_token_id.value_or(1)](const Scope& side) -> BartConfig::Positions {
    return nn::SinusoidalPositions(side / "embed_positions", rows, width, pad);
  };
}

std::function<Value(Value)> start_first(const BartConfig& c) {
  return [start = c.decoder_start_token_id.value_or(2)](Value ids) {
    const Value column = op::slice(op::mul(ids, 0.0), 1, 0, 1);
    const Value first = op::add(column, static_cast<double>(start));
    return op::concat({first, op::slice(ids, 1, 0, ids.dim(1) - 1)}, 1);
  };
}

std::vector<std::string> bart_tasks(const std::vector<std::string>& others) {
  std::vector<std::string> all = nn::text2text_tasks();
  all.insert(all.end(), {"text-generation", "text-generation-with-past"});
  all.insert(all.end(), others.begin(), others.end());
  return all;
}

NamedValues forward_bart(const Inputs& inputs, const Model& model, const Component& component,
                         const BartConfig& c) {
  const Scope root = model.scope();
  const Scope base = root.base_model("model");
  const std::string& task = component.task;
  if (component.part == "embed_tokens") {  // of a model around this one
    const Scope words = words_of(base, "encoder", c);
    const Value x = nn::Embedding(words, c.rows_of(words), c.d_model)(inputs["input_ids"]);
    return {{"inputs_embeds", c.encoder_scale == 1 ? x : op::mul(x, c.encoder_scale)}};
  }
  if (task.starts_with("text-generation")) {
    const auto alone = [&](nn::DecoderPass& pass) { return decode(base, c, pass, nullptr); };
    const auto head = [&](Value hidden) { return lm_head(root, base, c, hidden, false); };
    return nn::build_text_decoder_task(component, inputs, root,
                                       {.decode = alone, .lm_head = head, .hidden_size = c.d_model});
  }
  if (task == "text-classification") {
    const Value hidden = decode_shifted(base, c, inputs);
    const Value is_eos = op::eq(inputs["input_ids"], static_cast<double>(c.eos_token_id.value_or(2)));
    const Value sentence = nn::last_marked(hidden, is_eos);
    const Scope s = root / "classification_head";
    const Value dense = op::tanh(nn::Linear(s / "dense", c.d_model, c.d_model)(sentence));
    return {{"logits", nn::Linear(s / "out_proj", c.d_model, c.num_labels)(dense)}};
  }
  if (task == "question-answering")
    return nn::question_answering(root, decode_shifted(base, c, inputs), c.d_model);
  return nn::build_seq2seq_task(
      component, inputs,
      {.encode = [&](const Inputs& in) { return encode(base, c, in); },
       .decode = [&](nn::Seq2SeqPass& pass) { return decode(base, c, pass, &pass); },
       .lm_head = [&](Value hidden) { return lm_head(root, base, c, hidden, true); }});
}

CrossDecoder bart_decoder(std::function<BartConfig(const PretrainedConfig&)> config) {
  const auto logits = [config = std::move(config)](nn::Seq2SeqPass& pass, const Model& model) {
    const BartConfig c = config(model.config());
    const Scope root = model.scope();
    const Scope base = root.base_model("model");
    return lm_head(root, base, c, decode(base, c, pass, &pass), false);
  };
  return {.logits = logits, .cache = CrossDecoder::Cache::own_and_encoder};
}

void register_bart_like(TasksManager& tasks, ModelDefinition definition) {
  definition.key_names = {.embeddings = {"model.shared.weight", "model.encoder.embed_tokens.weight",
                                         "model.decoder.embed_tokens.weight"},
                          .head = "lm_head.weight"};
  definition.onnx_config = [](PretrainedConfig config, std::string task, OnnxConfigOptions options) {
    const bool alone = TasksManager::map_from_synonym(task).starts_with("text-generation");
    const auto make = alone ? make_onnx_config<BartDecoderOnnxConfig> : make_onnx_config<BartOnnxConfig>;
    return make(std::move(config), std::move(task), std::move(options));
  };
  offer_roles<BartOnnxConfig>(definition);
  tasks.register_definition(std::move(definition));
}

namespace {

BartConfig read(const PretrainedConfig& config) {
  BartConfig c(config);
  c.positions = learned_positions(c);
  c.shift_right = start_first(c);
  return c;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return forward_bart(inputs, model, component, read(model.config()));
}

}  // namespace

void register_bart(TasksManager& tasks) {
  register_bart_like(tasks, {.model_type = "bart",
                             .tasks = bart_tasks({"text-classification", "question-answering"}),
                             .forward = forward,
                             .roles = {.cross_decoder = bart_decoder(read)}});
}

}  // namespace onnxport::models
