// SpeechT5, from text to speech. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/speecht5/modeling_speecht5.py
#include <fmt/format.h>

#include <cmath>

#include "models/audio/common/speech_synthesis.h"
#include "models/audio/common/speecht5_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/decoder_pass.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/noise.h"

namespace onnxport::models {
namespace {

struct Config {
  std::int64_t vocab_size, hidden_size, encoder_layers, decoder_layers, encoder_heads, decoder_heads;
  std::int64_t encoder_ffn_dim, decoder_ffn_dim, farthest, prenet_layers, prenet_units, speaker_dim, factor;
  PostnetParameters postnet;
  std::string activation;
  double eps, prenet_dropout;

  explicit Config(const PretrainedConfig& c)
      : vocab_size(c.integer("vocab_size")),
        hidden_size(c.integer("hidden_size")),
        encoder_layers(c.integer("encoder_layers")),
        decoder_layers(c.integer("decoder_layers")),
        encoder_heads(c.integer("encoder_attention_heads")),
        decoder_heads(c.integer("decoder_attention_heads")),
        encoder_ffn_dim(c.integer("encoder_ffn_dim")),
        decoder_ffn_dim(c.integer("decoder_ffn_dim")),
        farthest(divisor(c, "encoder_max_relative_position")),
        prenet_layers(c.integer("speech_decoder_prenet_layers")),
        prenet_units(c.integer("speech_decoder_prenet_units")),
        speaker_dim(c.integer("speaker_embedding_dim")),
        factor(divisor(c, "reduction_factor")),
        postnet(c),
        activation(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")),
        prenet_dropout(c.real("speech_decoder_prenet_dropout")) {
    check_multiple(c, "hidden_size", hidden_size, "encoder_attention_heads", encoder_heads);
    check_multiple(c, "hidden_size", hidden_size, "decoder_attention_heads", decoder_heads);
    if (!(prenet_dropout >= 0) || prenet_dropout >= 1 || farthest > (1 << 24)) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: speech_decoder_prenet_dropout is {}, encoder_max_relative_position "
                                    "{}; expected 0 or more, below 1, and a table of that size",
                                    c.origin(), prenet_dropout, farthest));
    }
    // Those of speech as input, of training, and of positions, which are computed.
    c.harmless({"feat_extract_norm",
                "feat_proj_dropout",
                "feat_extract_activation",
                "conv_dim",
                "conv_stride",
                "conv_kernel",
                "conv_bias",
                "num_conv_pos_embeddings",
                "num_conv_pos_embedding_groups",
                "num_feat_extract_layers",
                "apply_spec_augment",
                "max_speech_positions",
                "max_text_positions",
                "scale_embedding",
                "positional_dropout",
                "use_guided_attention_loss",
                "guided_attention_loss_num_heads",
                "guided_attention_loss_sigma",
                "guided_attention_loss_scale",
                "use_cache",
                "is_encoder_decoder",
                "pad_token_id",
                "num_hidden_layers"});
  }
};

// positions float32 [n] -> [1, n, hidden_size], times a learned factor
Value scaled_positions(const Scope& s, const Config& c, Value positions) {
  Graph& graph = positions.graph();
  const Value table = interleaved_sinusoids(positions, c.hidden_size);
  const Value alpha = graph.weight(s.weight("alpha", {}));
  const Value scaled = op::mul(op::cast(table, graph.float_dtype()), alpha);
  return op::unsqueeze(scaled, 0);
}

// ---- layers ----

nn::Linear projection(const Scope& s, const Config& c, const char* name) {
  return {s / name, c.hidden_size, c.hidden_size};
}

nn::LayerNorm norm(const Scope& s, const Config& c) { return {s, c.hidden_size, c.eps}; }

Value feed_forward(const Scope& s, const Config& c, std::int64_t ffn_dim, Value x) {
  return nn::Mlp(s.path(), nn::Linear(s / "intermediate_dense", c.hidden_size, ffn_dim),
                 nn::Linear(s / "output_dense", ffn_dim, c.hidden_size), c.activation)(x);
}

// The scores of the distance between query and key, up to the farthest one, are those of learned keys.
Value attend_by_distance(const Scope& s, const Config& c, Value x, Value rows) {
  const ModulePath at(x, s.path());
  const std::int64_t head_dim = c.hidden_size / c.encoder_heads;
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  op::AttentionOperands o;
  o.query = projection(s, c, "q_proj")(x);
  o.key = projection(s, c, "k_proj")(x);
  o.value = projection(s, c, "v_proj")(x);
  const Value positions = op::arange(x.graph(), x.dim(1));
  const Value back = op::sub(op::unsqueeze(positions, 1), positions);
  const auto most = static_cast<double>(c.farthest);
  const Value place = op::minimum(op::maximum(op::add(back, most), 0.0), 2 * most - 1);
  const Value query = op::mul(nn::split_heads(o.query, c.encoder_heads), scale);
  o.mask.bias = scores_by_place(query, rows, place);
  return projection(s, c,
                    "out_proj")(op::attention(o, c.encoder_heads, c.encoder_heads, {.scale = scale}).output);
}

Value encode(const Scope& s, const Config& c, Value ids) {
  const Scope prenet = s / "prenet", layers = s / "wrapped_encoder";
  const Value words = nn::Embedding(prenet / "embed_tokens", c.vocab_size, c.hidden_size)(ids);
  const Value positions = op::cast(op::arange(ids.graph(), ids.dim(1)), DType::f32);
  Value x = op::add(words, scaled_positions(prenet / "encode_positions", c, positions));
  x = norm(layers / "layer_norm", c)(x);
  const Weight rows = (layers / "embed_positions" / "pe_k")
                          .weight("weight", {2 * c.farthest, c.hidden_size / c.encoder_heads});
  const Value distances = x.graph().weight(rows);
  for (std::int64_t i = 0; i < c.encoder_layers; ++i) {
    const Scope layer = layers / "layers" / i;
    x = norm(layer / "layer_norm", c)(op::add(x, attend_by_distance(layer / "attention", c, x, distances)));
    const Value fed = feed_forward(layer / "feed_forward", c, c.encoder_ffn_dim, x);
    x = norm(layer / "final_layer_norm", c)(op::add(x, fed));
  }
  return x;
}

// One new frame, which sees all earlier ones, or the states of the encoder.
Value attend(const Scope& s, const Config& c, nn::DecoderPass& pass, std::int64_t layer, Value x,
             Value states, Value mask) {
  const ModulePath at(x, s.path());
  op::AttentionOperands o;
  o.query = projection(s, c, "q_proj")(x);
  const std::string side = states ? "encoder." : "";
  const Value past_key = pass.past(layer, side + "key"), past_value = pass.past(layer, side + "value");
  if (states) {
    o.mask = nn::padding_mask(mask);
    o.key = past_key ? past_key : nn::split_heads(projection(s, c, "k_proj")(states), c.decoder_heads);
    o.value = past_key ? past_value : nn::split_heads(projection(s, c, "v_proj")(states), c.decoder_heads);
  } else {
    o.key = projection(s, c, "k_proj")(x);
    o.value = projection(s, c, "v_proj")(x);
    o.past_key = past_key;
    o.past_value = past_value;
  }
  const op::AttentionResults made = op::attention(o, c.decoder_heads, c.decoder_heads);
  pass.keep(layer, side + "key", states ? o.key : made.key);
  pass.keep(layer, side + "value", states ? o.value : made.value);
  return projection(s, c, "out_proj")(made.output);
}

// The last frame of a sequence [1, S, mel_bins] as a vector [1, 1, hidden_size]. Half of the units are left
// out, others in every frame.
Value prenet(const Scope& s, const Config& c, Value sequence, Value speaker) {
  const ModulePath at(sequence, s.path());
  Graph& graph = sequence.graph();
  const Dim& length = sequence.dim(1);
  const Value last = op::size(graph, length - 1);
  Value x = op::slice(sequence, 1, length - 1, length);
  std::int64_t in = c.postnet.mel_bins;
  for (std::int64_t i = 0; i < c.prenet_layers; ++i, in = c.prenet_units) {
    x = op::relu(nn::Linear(s / "layers" / i, in, c.prenet_units)(x));
    if (c.prenet_dropout == 0) continue;
    const Value first = op::mul(last, static_cast<double>(c.prenet_units));
    const Value noise = nn::uniform_noise(op::add(op::arange(graph, c.prenet_units), first), i);
    const Value kept = op::cast(op::lt(noise, c.prenet_dropout), x.dtype());
    x = op::mul(op::mul(x, kept), 1 / (1 - c.prenet_dropout));
  }
  x = nn::Linear(s / "final_layer", in, c.hidden_size)(x);
  const Value position = op::unsqueeze(op::cast(last, DType::f32), 0);
  x = op::add(x, scaled_positions(s / "encode_positions", c, position));
  const Value voice = op::unsqueeze(op::normalize(speaker, 1), 1);
  const nn::Linear both(s / "speaker_embeds_layer", c.speaker_dim + c.hidden_size, c.hidden_size);
  return op::relu(both(op::concat({x, voice}, 2)));
}

NamedValues decode(const Scope& root, const Config& c, const Inputs& inputs, const Component& component) {
  const Scope s = root / "speecht5" / "decoder", postnet = root / "speech_decoder_postnet";
  const Value sequence = inputs["output_sequence"], states = inputs["encoder_hidden_states"];
  const Value mask = inputs["encoder_attention_mask"];
  nn::DecoderPass pass(inputs, component.interface.states,
                       {.input_ids = "output_sequence", .attention_mask = ""});
  Value x = prenet(s / "prenet", c, sequence, inputs["speaker_embeddings"]);
  for (std::int64_t i = 0; i < c.decoder_layers; ++i) {
    const Scope layer = s / "wrapped_decoder" / "layers" / i;
    const Value own = attend(layer / "self_attn", c, pass, i, x, {}, {});
    x = norm(layer / "self_attn_layer_norm", c)(op::add(x, own));
    const Value other = attend(layer / "encoder_attn", c, pass, i, x, states, mask);
    x = norm(layer / "encoder_attn_layer_norm", c)(op::add(x, other));
    const Value fed = feed_forward(layer / "feed_forward", c, c.decoder_ffn_dim, x);
    x = norm(layer / "final_layer_norm", c)(op::add(x, fed));
  }
  const std::int64_t bins = c.postnet.mel_bins;
  const Value last = op::reshape(x, {c.hidden_size});
  const Value frames =
      op::reshape(nn::Linear(postnet / "feat_out", c.hidden_size, bins * c.factor)(x), {c.factor, bins});
  const Value newest = op::reshape(op::slice(frames, 0, c.factor - 1, c.factor), {1, 1, bins});
  const Value stop = nn::Linear(postnet / "prob_out", c.hidden_size, c.factor)(last);
  NamedValues outputs = {{"output_sequence_out", op::concat({sequence, newest}, 1)},
                         {"spectrum", frames},
                         {"prob", op::sigmoid(stop)}};
  pass.add_presents(outputs);
  return outputs;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const Config c(model.config());
  const Scope root = model.scope();
  if (component.part == "encoder") {
    const Value ids = inputs["input_ids"];
    const Value ones = op::expand(op::scalar(ids.graph(), 1, DType::i64), ids.shape());
    return {{"encoder_outputs", encode(root / "speecht5" / "encoder", c, ids)},
            {"encoder_attention_mask", ones}};
  }
  if (component.part == "decoder") {
    if (c.prenet_dropout > 0) {
      model.add_notice(
          "the units that the decoder leaves out are computed, and the same in every call; the original "
          "draws "
          "them");
    }
    return decode(root, c, inputs, component);
  }
  const Value spectrogram = op::unsqueeze(inputs["spectrogram"], 0);
  const Value better = speech_postnet(root / "speech_decoder_postnet", c.postnet, spectrogram);
  const Vocoder vocoder(model);
  return {{"waveform", op::squeeze(hifigan_waveform(vocoder.scope, vocoder.config, better), 0)}};
}

}  // namespace

void register_speecht5(TasksManager& tasks) {
  tasks.register_model<SpeechT5OnnxConfig>(
      {.model_type = "speecht5", .tasks = {"text-to-audio"}, .forward = forward});
}

}  // namespace onnxport::models
