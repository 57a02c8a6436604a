// MusicGen: text to music, by a decoder of EnCodec's codes. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/musicgen/modeling_musicgen.py
#include <fmt/format.h>

#include <cmath>

#include "models/audio/common/encodec.h"
#include "models/audio/common/musicgen_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/seq2seq.h"
#include "onnxport/signal_ops.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // torch's default, not configurable

struct Config {
  std::int64_t vocab_size, hidden_size, layers, heads, ffn_dim, codebooks, channels;
  std::string activation;
  bool own_projection;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        ffn_dim(c.integer("ffn_dim")),
        codebooks(divisor(c, "num_codebooks")),
        channels(c.integer("audio_channels")),
        activation(c.string("activation_function")),
        own_projection(c.maybe_integer("cross_attention_hidden_size").has_value()) {
    check_multiple(c, "hidden_size", hidden_size, "num_attention_heads", heads);
    if ((channels != 1 && channels != 2) || (channels == 2 && codebooks % 2 != 0) || hidden_size < 4 ||
        c.flag("tie_word_embeddings")) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: audio_channels {}, num_codebooks {}, hidden_size {}; expected one "
                                    "channel, or two with an even number of codebooks, a width of 4 or more, "
                                    "and heads that are not tied",
                                    c.origin(), channels, codebooks, hidden_size));
    }
    // The original computes a scale but does not use it; positions have no limit.
    c.harmless({"scale_embedding", "max_position_embeddings", "use_cache", "pad_token_id"});
  }
  nn::Seq2SeqLayerParameters layer(const Scope& s) const {
    return {.hidden_size = hidden_size,
            .heads = heads,
            .ffn_dim = ffn_dim,
            .activation = activation,
            .norm_before = true,
            .bias = nn::QkvBias::none,
            .feed_forward = nn::Mlp(s.path(), nn::Linear(s / "fc1", hidden_size, ffn_dim, false),
                                    nn::Linear(s / "fc2", ffn_dim, hidden_size, false), activation)};
  }
};

// Cosines, then sines: [S, hidden_size]
Value positions(const Config& c, const nn::Seq2SeqPass& pass) {
  const std::int64_t half = c.hidden_size / 2;
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < half; ++i) {
    const double place = static_cast<double>(i) / static_cast<double>(half - 1);
    frequencies.push_back(std::exp(-place * std::log(10000.0)));
  }
  Graph& graph = pass.graph();
  const ModulePath at(graph, "decoder.model.decoder.embed_positions");
  const Value places = op::unsqueeze(op::cast(nn::decoder_positions(pass), DType::f32), 1);
  const Weight row = Weight::from_doubles(DType::f32, {1, half}, frequencies);
  const Value angles = op::mul(places, graph.weight_as_is(row));
  const Value cosines = op::cos(angles);
  const Value table = op::concat({cosines, op::sin(angles)}, 1);
  const Value whole = c.hidden_size % 2 == 0 ? table : op::pad(table, {0, 0}, {0, 1});
  return op::cast(whole, graph.float_dtype());
}

// The encoder's states in the width of the decoder, with zeros for padding.
void project_states(const Model& model, const Config& c, nn::Seq2SeqPass& pass) {
  Value states = pass.encoder_states();
  const std::int64_t width = *states.dim(2).constant();
  if (width != c.hidden_size && !c.own_projection)
    states = nn::Linear(model.scope() / "enc_to_dec_proj", width, c.hidden_size)(states);
  const Value mask = op::cast(op::unsqueeze(pass.encoder_attention_mask(), 2), states.dtype());
  pass.set_encoder_states(op::mul(states, mask));
}

NamedValues decode(const Model& model, const Inputs& inputs, const Component& component) {
  const Config c(model.config().sub("decoder", "musicgen_decoder"));
  const Scope s = model.scope() / "decoder", decoder = s / "model" / "decoder";
  nn::Seq2SeqPass pass(inputs, component.interface.states);
  if (!pass.has_past()) project_states(model, c, pass);
  const Dim batch = pass.encoder_states().dim(0), length = pass.length();
  const Value ids = op::reshape(pass.input_ids(), {batch, c.codebooks, length});
  Value x;
  for (std::int64_t i = 0; i < c.codebooks; ++i) {
    const nn::Embedding words(decoder / "embed_tokens" / i, c.vocab_size + 1, c.hidden_size);
    const Value embedded = words(op::select(ids, 1, i));
    x = x ? op::add(x, embedded) : embedded;
  }
  x = op::add(x, positions(c, pass));
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = decoder / "layers" / i;
    x = nn::Seq2SeqDecoderLayer(layer, i, c.layer(layer))(x, pass, &pass);
  }
  x = nn::LayerNorm(decoder / "layer_norm", c.hidden_size, kEps)(x);
  std::vector<Value> logits;
  for (std::int64_t i = 0; i < c.codebooks; ++i)
    logits.push_back(op::unsqueeze(nn::Linear(s / "lm_heads" / i, c.hidden_size, c.vocab_size, false)(x), 1));
  const Value all = op::concat(std::move(logits), 1);
  NamedValues outputs = {{"logits", op::reshape(all, {batch * c.codebooks, length, c.vocab_size})}};
  pass.add_presents(outputs);
  return outputs;
}

// Each codebook begins one step behind the one before it: ids int64 [rows, S], of which each codebook has one
// row, are moved by the number of their codebook, in rows of `max_length` steps. Steps without an id are
// padding at both ends, and -1 in between.
NamedValues delay(const Model& model, const Inputs& inputs) {
  const Config c(model.config().sub("decoder", "musicgen_decoder"));
  const Value ids = inputs["input_ids"], pad = inputs["pad_token_id"];
  const Value count = op::squeeze(inputs["max_length"], 0);
  Graph& graph = ids.graph();
  const Dim &rows = ids.dim(0), &length = ids.dim(1);
  const Value steps = op::arange(count, Dim::symbol("max_length"));
  const Value row = op::arange(graph, rows);
  const auto books = static_cast<double>(c.codebooks);
  Value book = op::sub(row, op::mul(op::div(row, books), books));
  // Both channels begin at the same step.
  if (c.channels == 2) book = op::div(book, 2.0);
  const double delays = books / static_cast<double>(c.channels);
  const Value own = op::sub(steps, op::unsqueeze(book, 1));  // [rows, max_length]: the step of its codebook
  const Value end = op::sub(count, delays - 1);
  const Value before = op::le(own, op::scalar(graph, 0, DType::i64));
  const Value is_pad = op::logical_or(before, op::ge(own, end));
  const Value last = op::size(graph, length - 1);
  const Value place = op::minimum(op::maximum(own, 0.0), last);
  const Value moved = op::gather(ids, 1, place);
  const Value open = op::scalar(graph, -1, DType::i64);
  const Value given = op::where(op::le(own, last), moved, open);
  const Value pattern = op::where(is_pad, pad, given);
  // Too few steps for the pattern: nothing is given.
  const Value enough = op::ge(count, op::scalar(graph, 2 * delays - 1, DType::i64));
  const Value edited = op::where(enough, op::slice(pattern, 1, 0, length), ids);
  return {{"input_ids_edited", edited}, {"delay_pattern_mask", op::where(enough, pattern, open)}};
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  c.harmless({"text_encoder", "audio_encoder", "decoder", "is_encoder_decoder"});
  if (component.part == "text_encoder") {
    const auto definition = musicgen_text_encoder(c);
    const Model part = model.part("text_encoder", definition, "feature-extraction");
    const Component encoder{.name = "encoder", .task = "feature-extraction", .part = "encoder"};
    return {{"last_hidden_state",
             definition->roles.encoder(Role::text_model).encode(inputs, part, encoder).hidden}};
  }
  if (component.part == "encodec_decode") {
    const EncodecConfig encodec(c.sub("audio_encoder", "encodec"));
    return {
        {"audio_values", encodec_samples(model.scope() / "audio_encoder", encodec, inputs["audio_codes"])}};
  }
  if (component.part == "build_delay_pattern_mask") return delay(model, inputs);
  return decode(model, inputs, component);
}

}  // namespace

void register_musicgen(TasksManager& tasks) {
  // The encoder of sound, codebooks that are not used, and positions, which are computed.
  tasks.register_model<MusicgenOnnxConfig>(
      {.model_type = "musicgen",
       .tasks = {"text-to-audio"},
       .forward = forward,
       .ignorable_keys = {"audio_encoder.encoder.*", "audio_encoder.quantizer.*",
                          "decoder.model.decoder.embed_positions.weights"}});
}

}  // namespace onnxport::models
