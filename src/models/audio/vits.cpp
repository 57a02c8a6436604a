// VITS: text to speech in one model. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vits/modeling_vits.py
#include <fmt/format.h>

#include <cmath>

#include "models/audio/common/speech_synthesis.h"
#include "models/audio/common/vits_duration.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/noise.h"
#include "onnxport/nn/sound.h"

namespace onnxport::models {
namespace {

/// input_ids and attention_mask -> waveform and the spectrogram behind it.
class VitsOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override {
    const Axes tokens = {{0, "text_batch_size"}, {1, "sequence_length"}};
    return {{"input_ids", tokens}, {"attention_mask", tokens}};
  }
  AxesByName outputs() const override {
    return {{"waveform", {{0, "text_batch_size"}, {1, "n_samples"}}},
            {"spectrogram", {{0, "text_batch_size"}, {2, "num_bins"}}}};
  }
};

struct Config {
  VitsDurationConfig durations;
  std::int64_t vocab_size, hidden_size, layers, heads, ffn_dim, ffn_kernel, flow_size, flows;
  std::int64_t wavenet_layers, wavenet_kernel, wavenet_dilation;
  std::optional<std::int64_t> window;
  std::string activation;
  double eps, noise_scale, speaking_rate;
  bool attention_bias;
  nn::HifiGanParameters vocoder;

  explicit Config(const PretrainedConfig& c)
      : durations(c),
        vocab_size(c.integer("vocab_size")),
        hidden_size(durations.hidden_size),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        ffn_dim(c.integer("ffn_dim")),
        ffn_kernel(c.integer("ffn_kernel_size")),
        flow_size(c.integer("flow_size")),
        flows(c.integer("prior_encoder_num_flows")),
        wavenet_layers(c.integer("prior_encoder_num_wavenet_layers")),
        wavenet_kernel(c.integer("wavenet_kernel_size")),
        wavenet_dilation(c.integer("wavenet_dilation_rate")),
        window(c.maybe_integer("window_size")),
        activation(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")),
        noise_scale(c.real("noise_scale")),
        speaking_rate(c.real("speaking_rate")),
        attention_bias(c.flag("use_bias")),
        vocoder(hifigan_parameters(c, flow_size)) {
    vocoder.output_bias = false;
    check_heads(c, hidden_size, heads);
    const bool reaches = wavenet_layers >= 1 && wavenet_layers <= 64 && wavenet_dilation >= 1 &&
                         std::pow(wavenet_dilation, wavenet_layers) <= (1 << 24);
    if (flow_size < 2 || flow_size % 2 != 0 || flows < 0 || !reaches || ffn_kernel < 1 ||
        ffn_kernel > (1 << 16) || window.value_or(1) < 1 || !(speaking_rate > 0)) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: flow_size {}, prior_encoder_num_flows {}, {} wavenet layers with "
                                    "wavenet_dilation_rate {}, ffn_kernel_size {}, window_size {} and "
                                    "speaking_rate {} do not fit",
                                    c.origin(), flow_size, flows, wavenet_layers, wavenet_dilation,
                                    ffn_kernel, window.value_or(0), speaking_rate));
    }
    // The file takes no speaker, so the original leaves out its embedding. The others are of training.
    c.harmless({"num_speakers", "speaker_embedding_size", "sampling_rate", "pad_token_id", "spectrogram_bins",
                "posterior_encoder_num_wavenet_layers", "wavenet_dropout", "duration_predictor_dropout"});
  }
};

// ---- the text encoder ----

// Distances between keys and queries, up to the window: float [L, L] masks, int64 [L, L] places.
struct Distances {
  Value place, near;

  Distances(Graph& graph, const Dim& length, std::int64_t window) {
    const Value places = op::arange(graph, length);
    const Value apart = op::sub(places, op::unsqueeze(places, 1));
    const double reach = static_cast<double>(window);
    const Value farthest = op::scalar(graph, reach, DType::i64);
    near = op::le(op::abs(apart), farthest);
    place = op::minimum(op::maximum(op::add(apart, reach), 0.0), 2 * reach);
  }
};

// The sum of a distance's rows over the keys, by their weights [B, H, L, L]: [B, H, L, d]
Value distance_values(Value weights, Value rows, std::int64_t window) {
  Graph& graph = weights.graph();
  const Dim& length = weights.dim(2);
  const std::int64_t count = 2 * window + 1;
  const Value queries = op::unsqueeze(op::arange(graph, length), 1);
  const Value keys = op::add(queries, op::arange(graph, count, -window));
  const Value last = op::size(graph, length - 1);
  const Value inside = op::minimum(op::maximum(keys, 0.0), last);
  const Value taken =
      op::gather(weights, 3, op::expand(inside, {weights.dim(0), weights.dim(1), length, count}));
  const Value absent = op::logical_not(op::eq(keys, inside));
  return op::matmul(op::masked_fill(taken, absent, 0), rows);
}

Value attend(const Scope& s, const Config& c, Value x, const op::AttentionMask& padding) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.hidden_size, head_dim = width / c.heads;
  const auto linear = [&](const char* name) { return nn::Linear(s / name, width, width, c.attention_bias); };
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  op::AttentionOperands o;
  o.query = linear("q_proj")(x);
  o.key = linear("k_proj")(x);
  o.value = linear("v_proj")(x);
  o.mask = padding;
  if (!c.window) return linear("out_proj")(op::attention(o, c.heads, c.heads).output);
  const auto rows = [&](const char* name) {
    return x.graph().weight(s.weight(name, {1, 2 * *c.window + 1, head_dim}));
  };
  const Value query = op::mul(nn::split_heads(o.query, c.heads), scale);
  const Distances distances(x.graph(), x.dim(1), *c.window);
  const Value by_place = scores_by_place(query, op::squeeze(rows("emb_rel_k"), 0), distances.place);
  o.mask.bias = op::masked_fill(by_place, op::logical_not(distances.near), 0);
  const op::AttentionResults made = op::attention(o, c.heads, c.heads, {.scale = scale, .weights = true});
  const Value of_distances = distance_values(made.weights, rows("emb_rel_v"), *c.window);
  return linear("out_proj")(op::add(made.output, nn::merge_heads(of_distances)));
}

// x [B, L, H], mask [B, L, 1]
Value feed_forward(const Scope& s, const Config& c, Value x, Value mask) {
  const ModulePath at(x, s.path());
  const op::ConvOptions around{.padding = {(c.ffn_kernel - 1) / 2, c.ffn_kernel / 2}};
  const nn::Conv1d conv_1(s / "conv_1", c.hidden_size, c.ffn_dim, c.ffn_kernel, true, around);
  const nn::Conv1d conv_2(s / "conv_2", c.ffn_dim, c.hidden_size, c.ffn_kernel, true, around);
  const Value once = nn::Activation(c.activation)(conv_1(op::transpose(op::mul(x, mask), 1, 2)));
  const Value twice = conv_2(op::mul(once, op::transpose(mask, 1, 2)));
  return op::mul(op::transpose(twice, 1, 2), mask);
}

// -> [B, L, H]
Value encode(const Scope& s, const Config& c, Value ids, Value attention_mask, Value mask) {
  const nn::Embedding words(s / "embed_tokens", c.vocab_size, c.hidden_size);
  Value x = op::mul(words(ids), std::sqrt(static_cast<double>(c.hidden_size)));
  x = op::mul(x, mask);
  const op::AttentionMask padding = nn::padding_mask(attention_mask);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const Scope layer = s / "encoder" / "layers" / i;
    const Value attended = attend(layer / "attention", c, x, padding);
    x = nn::LayerNorm(layer / "layer_norm", c.hidden_size, c.eps)(op::add(x, attended));
    const Value fed = feed_forward(layer / "feed_forward", c, x, mask);
    x = nn::LayerNorm(layer / "final_layer_norm", c.hidden_size, c.eps)(op::add(x, fed));
  }
  return op::mul(x, mask);
}

// ---- from tokens to frames ----

// The tokens of each frame as matrix [B, frames, L], and which frames are real, [B, 1, frames]: both float.
struct Alignment {
  Value matrix, mask;
};

// Each token lasts whole frames: log_durations [B, 1, L], mask [B, 1, L]. A row has at least one frame.
Alignment align(Value log_durations, Value mask, double speaking_rate) {
  const ModulePath at(mask, "alignment");
  const Value counts = op::cast(mask, DType::f32);
  const Value exact = op::mul(op::exp(op::cast(log_durations, DType::f32)), counts);
  const Value wanted = op::squeeze(op::mul(exact, 1 / speaking_rate), 1);
  const Value near = op::round(wanted);
  const Value durations = op::add(near, op::cast(op::lt(near, wanted), DType::f32));  // rounded up
  const Value lengths = op::cast(op::maximum(op::sum(durations, 1, true), 1.0), DType::i64);
  const Frames frames(durations, lengths);
  const Value real = op::lt(frames.numbers, lengths);
  return {op::cast(frames.tokens, mask.dtype()), op::unsqueeze(op::cast(real, mask.dtype()), 1)};
}

// ---- from frames to the spectrogram ----

// Gated convolutions whose results add up: x [B, hidden_size, frames]. (van den Oord et al. 2016)
Value wavenet(const Scope& s, const Config& c, Value x, Value mask) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.hidden_size;
  Value sum;
  std::int64_t dilation = 1;
  for (std::int64_t i = 0; i < c.wavenet_layers; ++i, dilation *= c.wavenet_dilation) {
    const bool last = i + 1 == c.wavenet_layers;
    const std::int64_t around = nn::same_padding(c.wavenet_kernel, dilation);
    const nn::Conv1d in = nn::sound_conv(s / "in_layers" / i, width, 2 * width, c.wavenet_kernel, true,
                                         {.padding = {around, around}, .dilation = {dilation}});
    const std::vector<Value> halves = op::chunk(in(x), 1, 2);
    const Value wave = op::tanh(halves[0]);
    const Value opened = op::mul(wave, op::sigmoid(halves[1]));
    Value made = nn::sound_conv(s / "res_skip_layers" / i, width, last ? width : 2 * width, 1)(opened);
    if (!last) {
      const std::vector<Value> parts = op::chunk(made, 1, 2);
      x = op::mul(op::add(x, parts[0]), mask);
      made = parts[1];
    }
    sum = sum ? op::add(sum, made) : made;
  }
  return op::mul(sum, mask);
}

// The inverse of all flows: the first half of the channels decides how the second one moves.
Value flow(const Scope& s, const Config& c, Value latents, Value mask) {
  const std::int64_t half = c.flow_size / 2;
  for (std::int64_t i = c.flows; i-- > 0;) {
    const Scope layer = s / "flows" / i;
    const std::vector<Value> halves = op::chunk(flipped_channels(latents), 1, 2);
    const nn::Conv1d before(layer / "conv_pre", half, c.hidden_size, 1);
    const nn::Conv1d behind(layer / "conv_post", c.hidden_size, half, 1);
    const Value hidden = wavenet(layer / "wavenet", c, op::mul(before(halves[0]), mask), mask);
    const Value mean = op::mul(behind(hidden), mask);
    const Value moved = op::mul(op::sub(halves[1], mean), mask);
    latents = op::concat({halves[0], moved}, 1);
  }
  return latents;
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const Config c(model.config());
  const Scope root = model.scope();
  const Value attention_mask = inputs["attention_mask"];
  const Value mask = op::unsqueeze(op::cast(attention_mask, attention_mask.graph().float_dtype()), 2);
  const Value hidden = encode(root / "text_encoder", c, inputs["input_ids"], attention_mask, mask);
  const nn::Conv1d project(root / "text_encoder" / "project", c.hidden_size, 2 * c.flow_size, 1);
  const Value channels_first = op::transpose(hidden, 1, 2), mask_first = op::transpose(mask, 1, 2);
  const Value stats = op::mul(op::transpose(project(channels_first), 1, 2), mask);
  const Value log_durations =
      vits_log_durations(root / "duration_predictor", c.durations, channels_first, mask_first);
  const Alignment alignment = align(log_durations, mask_first, c.speaking_rate);
  const Value spread = op::transpose(op::matmul(alignment.matrix, stats), 1, 2);
  const std::vector<Value> mean_and_log = op::chunk(spread, 1, 2);
  Value latents = mean_and_log[0];
  if (c.noise_scale != 0) {
    const Value noise = nn::normal_noise(latents.graph(), latents.shape(), 0);
    const Value deviation = op::mul(op::exp(op::cast(mean_and_log[1], DType::f32)), c.noise_scale);
    latents = op::add(latents, op::cast(op::mul(noise, deviation), latents.dtype()));
  }
  if (c.noise_scale != 0 || c.durations.noise_scale != 0)
    model.add_notice(
        "the noise of this model is computed, and the same in every call; the original draws it");
  const Value spectrogram = op::mul(flow(root / "flow", c, latents, alignment.mask), alignment.mask);
  const nn::HifiGan decoder(root / "decoder", c.vocoder);
  return {{"waveform", decoder(spectrogram)}, {"spectrogram", spectrogram}};
}

}  // namespace

void register_vits(TasksManager& tasks) {
  // Parts of training, a flow that the original leaves out, and embeddings of speakers, for which there is no
  // input.
  tasks.register_model<VitsOnnxConfig>(
      {.model_type = "vits",
       .tasks = {"text-to-audio"},
       .forward = forward,
       .ignorable_keys = {"posterior_encoder.*", "duration_predictor.post_*", "duration_predictor.flows.1.*",
                          "*.cond.*", "*.cond_layer.*", "embed_speaker.*"}});
}

}  // namespace onnxport::models
