#include "models/audio/common/fastspeech2_conformer.h"

#include <fmt/format.h>

#include <cmath>

#include "models/audio/common/speech_synthesis.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // torch's default, not configurable

// The encoder or the decoder.
struct ConformerConfig {
  std::int64_t hidden_size, layers, heads, units, kernel, feed_forward_kernel;
  bool norm_before, concat_after, macaron;
  std::string activation;

  // `encoder_config` replaces the keys that begin with `encoder_`.
  ConformerConfig(const PretrainedConfig& c, const std::string& side)
      : ConformerConfig(c, c.has(side + "_config") ? c.sub(side + "_config") : c,
                        c.has(side + "_config") ? "" : side + "_") {}
  ConformerConfig(const PretrainedConfig& c, const PretrainedConfig& own, const std::string& prefix)
      : hidden_size(c.integer("hidden_size")),
        layers(own.integer(prefix + "layers")),
        heads(own.integer(prefix + "num_attention_heads")),
        units(own.integer(prefix + "linear_units")),
        kernel(own.integer(prefix + "kernel_size")),
        feed_forward_kernel(c.integer("positionwise_conv_kernel_size")),
        norm_before(own.flag(prefix + "normalize_before")),
        concat_after(own.flag(prefix + "concat_after")),
        macaron(c.flag("use_macaron_style_in_conformer")),
        activation(own.string(prefix + "activation", "silu")) {
    check_multiple(c, "hidden_size", hidden_size, "num_attention_heads", heads);
    for (const char* rate : {"dropout_rate", "positional_dropout_rate", "attention_dropout_rate"})
      own.harmless({prefix + rate});
    if (c.flag("use_cnn_in_conformer")) return;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: use_cnn_in_conformer is false, which the original cannot compute", c.origin()));
  }
};

// The distances L - 1, …, 1 - L: float32 [2 L - 1, hidden_size].
Value distance_table(Graph& graph, const Dim& length, std::int64_t width) {
  const ModulePath at(graph, "pos_enc");
  const Value last = op::size(graph, length - 1);
  const Value distances = op::sub(last, op::arange(graph, 2 * length - 1));
  return interleaved_sinusoids(op::cast(distances, DType::f32), width);
}

// Scores by distance [B, H, L, 2 L - 1] -> by key [B, H, L, L]: each row moves on by one. (Dai et al. 2019)
Value by_key(Value scores) {
  const Dim &batch = scores.dim(0), &heads = scores.dim(1), &length = scores.dim(2);
  const Value longer = op::pad(scores, {0, 0, 0, 1}, {0, 0, 0, 0});
  const Value skewed = op::reshape(longer, {batch, heads, 2 * length, length});
  const Value cut = op::slice(skewed, 2, 1, 2 * length);
  const Value moved = op::reshape(cut, {batch, heads, length, 2 * length - 1});
  return op::slice(moved, 3, 0, length);
}

Value attend(const Scope& s, const ConformerConfig& c, Value x, Value table, Value mask) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.hidden_size, head_dim = width / c.heads;
  const auto linear = [&](const char* name) { return nn::Linear(s / name, width, width); };
  const auto bias = [&](const char* name) {
    return x.graph().weight(s.weight(name, {c.heads, head_dim}).reshape({width}));
  };
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  const Value query = linear("linear_q")(x);
  const Value places = nn::Linear(s / "linear_pos", width, width, false)(op::cast(table, x.dtype()));
  const Value rows = op::reshape(places, {table.dim(0), c.heads, head_dim});
  const Value seen_from = nn::split_heads(op::add(query, bias("pos_bias_v")), c.heads);
  const Value scores = op::matmul(seen_from, op::permute(rows, {1, 2, 0}));
  op::AttentionOperands o;
  o.query = op::add(query, bias("pos_bias_u"));
  o.key = linear("linear_k")(x);
  o.value = linear("linear_v")(x);
  o.mask = {.padding = mask, .bias = op::mul(by_key(scores), scale)};
  return linear("linear_out")(op::attention(o, c.heads, c.heads, {.scale = scale}).output);
}

// Two convolutions over time: x [B, L, H]
Value feed_forward(const Scope& s, const ConformerConfig& c, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t around = nn::same_padding(c.feed_forward_kernel);
  const auto conv = [&](const char* name, std::int64_t in, std::int64_t out) {
    return nn::Conv1d(s / name, in, out, c.feed_forward_kernel, true, {.padding = {around, around}});
  };
  const Value wide = op::relu(conv("conv1", c.hidden_size, c.units)(op::transpose(x, 1, 2)));
  return op::transpose(conv("conv2", c.units, c.hidden_size)(wide), 1, 2);
}

Value conv_module(const Scope& s, const ConformerConfig& c, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.hidden_size, around = nn::same_padding(c.kernel);
  const nn::Conv1d wide(s / "pointwise_conv1", width, 2 * width, 1);
  const nn::Conv1d depthwise(s / "depthwise_conv", width, width, c.kernel, true,
                             {.padding = {around, around}, .groups = width});
  const std::vector<Value> halves = op::chunk(wide(op::transpose(x, 1, 2)), 1, 2);
  Value y = op::mul(halves[0], op::sigmoid(halves[1]));
  y = nn::batch_norm1d(s / "norm", width, depthwise(y));
  y = nn::Conv1d(s / "pointwise_conv2", width, width, 1)(nn::Activation(c.activation)(y));
  return op::transpose(y, 1, 2);
}

// x [B, L, H] through all layers; mask int [B, L], or absent
Value conformer(const Scope& s, const ConformerConfig& c, Value x, Value mask) {
  x = op::mul(x, std::sqrt(static_cast<double>(c.hidden_size)));
  const Value table = distance_table(x.graph(), x.dim(1), c.hidden_size);
  const double share = c.macaron ? 0.5 : 1;
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "conformer_layers" / i;
    // x + share * step(x), with a norm before the step or behind the sum.
    const auto residual = [&](const char* norm, double factor, const std::function<Value(Value)>& step) {
      const nn::LayerNorm normed(layer / norm, c.hidden_size, kEps);
      const Value made = step(c.norm_before ? normed(x) : x);
      x = op::add(x, factor == 1 ? made : op::mul(made, factor));
      if (!c.norm_before) x = normed(x);
    };
    if (c.macaron)
      residual("ff_macaron_layer_norm", share,
               [&](Value y) { return feed_forward(layer / "feed_forward_macaron", c, y); });
    residual("self_attn_layer_norm", 1, [&](Value y) {
      Value attended = attend(layer / "self_attn", c, y, table, mask);
      if (!c.concat_after) return attended;
      const nn::Linear both(layer / "concat_linear", 2 * c.hidden_size, c.hidden_size);
      return both(op::concat({y, attended}, 2));
    });
    residual("conv_layer_norm", 1, [&](Value y) { return conv_module(layer / "conv_module", c, y); });
    residual("ff_layer_norm", share, [&](Value y) { return feed_forward(layer / "feed_forward", c, y); });
    x = nn::LayerNorm(layer / "final_layer_norm", c.hidden_size, kEps)(x);
  }
  return x;
}

// A number for each token, from convolutions: x [B, L, H] -> [B, L, 1]
Value predict(const Scope& s, const PretrainedConfig& c, const std::string& what, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t layers = c.integer(what + "_predictor_layers");
  const std::int64_t channels = c.integer(what + "_predictor_channels");
  const std::int64_t kernel = c.integer(what + "_predictor_kernel_size");
  const std::int64_t around = nn::same_padding(kernel);
  std::int64_t in = *x.dim(2).constant();
  for (std::int64_t i = 0; i < layers; ++i, in = channels) {
    const Scope layer = s / "conv_layers" / i;
    const nn::Conv1d conv(layer / "conv", in, channels, kernel, true, {.padding = {around, around}});
    const Value made = op::transpose(op::relu(conv(op::transpose(x, 1, 2))), 1, 2);
    x = nn::LayerNorm(layer / "layer_norm", channels, kEps)(made);
  }
  return nn::Linear(s / "linear", in, 1)(x);
}

bool has_many(const PretrainedConfig& c, const char* key) { return c.maybe_integer(key).value_or(0) > 1; }

/// speaker_ids: [batch_size, 1], each a speaker.
class DummySpeakerInputGenerator : public DummyInputGenerator {
 public:
  bool supports_input(std::string_view name) const override { return name == "speaker_ids"; }
  TensorType type(std::string_view /*name*/, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    return {context.int_dtype, {shapes.batch_size, 1}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType made = type(name, context, shapes);
    const std::vector<std::int64_t> shape = static_shape(made.shape).value();
    std::vector<std::int64_t> ids;
    for (std::int64_t i = 0; i < shape[0]; ++i) ids.push_back((i + static_cast<std::int64_t>(seed % 2)) % 2);
    return Tensor::from_ints(made.dtype, shape, ids);
  }
};

}  // namespace

AxesByName fastspeech2_inputs(const PretrainedConfig& config) {
  const Axes tokens = {{0, "batch_size"}, {1, "sequence_length"}};
  AxesByName inputs = {{"input_ids", tokens}, {"attention_mask", tokens}};
  if (has_many(config, "num_speakers")) inputs.emplace_back("speaker_ids", Axes{{0, "batch_size"}});
  return inputs;
}

DummyInputGenerators fastspeech2_generators() {
  return {std::make_shared<const DummyTextInputGenerator>(),
          std::make_shared<const DummySpeakerInputGenerator>()};
}

Value fastspeech2_spectrogram(const Scope& s, const PretrainedConfig& c, const Inputs& inputs) {
  const ConformerConfig encoder(c, "encoder"), decoder(c, "decoder");
  const PostnetParameters postnet(c);
  const std::int64_t width = encoder.hidden_size, factor = divisor(c, "reduction_factor");
  const double speed = c.real("speaking_speed");
  if (!(speed > 0)) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: speaking_speed is {}, expected more than 0", c.origin(), speed));
  }
  // Inputs that the file does not have, without which the original leaves these out, and training.
  c.harmless({"num_languages", "speaker_embed_dim", "max_source_positions", "use_masking",
              "use_weighted_masking", "stop_gradient_from_pitch_predictor",
              "stop_gradient_from_energy_predictor", "energy_predictor_dropout", "energy_embed_dropout",
              "pitch_predictor_dropout", "pitch_embed_dropout", "duration_predictor_dropout_rate",
              "is_encoder_decoder", "encoder_layers", "encoder_num_attention_heads"});
  const Value mask = inputs["attention_mask"];
  const nn::Embedding words(s / "encoder" / "embed", c.integer("vocab_size"), width);
  Value x = conformer(s / "encoder", encoder, words(inputs["input_ids"]), mask);
  if (has_many(c, "num_speakers")) {
    const nn::Embedding speakers(s / "speaker_id_embedding", c.integer("num_speakers"), width);
    x = op::add(x, speakers(inputs["speaker_ids"]));
  }
  const Value padding = op::eq(op::unsqueeze(mask, 2), 0.0);
  const auto curve = [&](const std::string& what) {
    const std::int64_t kernel = c.integer(what + "_embed_kernel_size"), around = nn::same_padding(kernel);
    const nn::Conv1d embed(s / (what + "_embed") / "conv", 1, width, kernel, true,
                           {.padding = {around, around}});
    const Value numbers = op::masked_fill(predict(s / (what + "_predictor"), c, what, x), padding, 0);
    return op::transpose(embed(op::transpose(numbers, 1, 2)), 1, 2);
  };
  const Value pitch = curve("pitch"), energy = curve("energy");
  const Value logs = op::cast(predict(s / "duration_predictor", c, "duration", x), DType::f32);
  const Value near = op::maximum(op::round(op::sub(op::exp(logs), 1.0)), 0.0);
  Value durations = op::squeeze(op::masked_fill(near, padding, 0), 2);
  if (speed != 1) durations = op::round(op::mul(durations, speed));
  // If nothing sounds, every token does.
  const Value sounds = op::gt(op::sum(op::sum(durations, 1, true), 0, true), 0.0);
  durations = op::where(sounds, durations, op::scalar(x.graph(), 1, DType::f32));
  const Frames frames(durations, op::cast(op::sum(durations, 1, true), DType::i64));
  const Value tokens = op::add(op::add(x, energy), pitch);
  const Value spread = op::matmul(op::cast(frames.tokens, x.dtype()), tokens);
  const Value decoded = conformer(s / "decoder", decoder, spread, {});
  const Scope behind = s / "speech_decoder_postnet";
  const Value all = nn::Linear(behind / "feat_out", width, postnet.mel_bins * factor)(decoded);
  const Value spectrogram = op::reshape(all, {all.dim(0), all.dim(1) * factor, postnet.mel_bins});
  return speech_postnet(behind, postnet, spectrogram);
}

}  // namespace onnxport::models
