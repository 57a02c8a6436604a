// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/phi4_multimodal/modeling_phi4_multimodal.py
#include "models/multimodal/common/towers/phi4_audio.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;           // torch's default, not configurable
constexpr std::int64_t kLongest = 500;  // of states that see each other

std::int64_t halvings_of(const PretrainedConfig& c) {
  const std::int64_t reduction = c.integer("time_reduction");
  for (std::int64_t i = 1; i <= 8; ++i)
    if (reduction == std::int64_t{1} << i) return i;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: time_reduction is {}, expected 2, 4, 8, … 256", c.origin(), reduction));
}

Value act(const std::string& name, Value x) { return nn::Activation(name)(x); }

// A convolution with a kernel of one frame, of x [B, L, in].
Value pointwise(const Scope& s, std::int64_t out, Value x) {
  const std::int64_t in = *x.dim(2).constant();
  const Weight weight = s.weight("weight", {out, in, 1}).reshape({out, in});
  return nn::Linear(s.path(), weight, s.weight("bias", {out}))(x);
}

// Convolutions of stride 2 over frames and bins, then one linear layer: [1, L, bins] -> [1, states, hidden].
Value subsample(const Scope& s, const Phi4Audio& c, Value features) {
  const ModulePath at(features, s.path());
  const op::ConvOptions halved{.stride = {2, 2}, .padding = {1, 1}};
  const nn::Conv2d first(s / "conv" / 0, 1, c.front, {3, 3}, true, halved);
  Value x = act(c.front_activation, first(op::unsqueeze(features, 1)));
  for (std::int64_t i = 1; i < c.halvings; ++i) {
    op::ConvOptions depthwise = halved;
    depthwise.groups = c.front;
    const nn::Conv2d of_channels(s / "conv" / (3 * i - 1), c.front, c.front, {3, 3}, true, depthwise);
    const nn::Conv2d across(s / "conv" / (3 * i), c.front, c.front, {1, 1});
    x = act(c.front_activation, across(of_channels(x)));
  }
  const Value rows = op::flatten(op::transpose(x, 1, 2), 2, 3);
  return nn::Linear(s / "out", *rows.dim(2).constant(), c.hidden_size)(rows);
}

// Which states see each other, by their chunks: bool [L, L]; absent: all do.
Value seen_chunks(const Phi4Audio& c, Value query, Value key) {
  if (c.chunk < 0) return {};
  const auto chunk = static_cast<double>(c.chunk);
  const Value of_query = op::div(query, chunk), of_key = op::div(key, chunk);
  const Value first = op::sub(of_query, static_cast<double>(c.left));
  const Value early = op::le(of_key, of_query);
  return op::logical_and(op::ge(of_key, first), early);
}

// What scores gain by the distance from a query to a key, [1, heads, L, L], or [N, heads, L, L] with `real`,
// bool [N, L]. The original adds the masks of chunks and of padding as a number: 1 for a state that may be
// seen.
Value bias_of(const Scope& s, const Phi4Audio& c, Graph& graph, const Dim& length, Value real) {
  const ModulePath at(graph, s.path());
  const Value places = op::arange(graph, length);
  const Value query = op::unsqueeze(places, 1), key = op::unsqueeze(places, 0);
  const auto most = static_cast<double>(c.distance);
  Value distance = op::minimum(op::maximum(op::sub(key, query), -most), most - 1);
  distance = c.symmetric ? op::abs(distance) : op::add(distance, most);
  const nn::Embedding table(s / "bias_values", c.symmetric ? c.distance : 2 * c.distance, c.heads);
  const Value bias = op::unsqueeze(op::permute(table(distance), {2, 0, 1}), 0);
  Value seen = seen_chunks(c, query, key);
  if (real) {
    const Value of_keys = op::unsqueeze(op::unsqueeze(real, 1), 1);
    seen = seen ? op::logical_and(seen, of_keys) : of_keys;
  }
  return seen ? op::add(bias, op::cast(seen, bias.dtype())) : bias;
}

Value feed_forward(const Scope& s, const Phi4Audio& c, Value x) {
  const ModulePath at(x, s.path());
  const Value before = nn::LayerNorm(s / "layer_norm", c.hidden_size, kEps)(x);
  const std::vector<Value> halves =
      op::chunk(nn::Linear(s / "gate_up_proj", c.hidden_size, 2 * c.inner)(before), -1, 2);
  const Value gated = op::mul(halves[0], act(c.activation, halves[1]));
  return op::mul(nn::Linear(s / "down_proj", c.inner, c.hidden_size)(gated), 0.5);
}

Value attend(const Scope& s, const Phi4Audio& c, Value x, Value bias) {
  const ModulePath at(x, s.path());
  const auto projected = [&](const char* key, Value of) {
    return nn::Linear(s / key, c.hidden_size, c.hidden_size)(of);
  };
  const op::AttentionOperands operands{.query = projected("q_proj", x),
                                       .key = projected("k_proj", x),
                                       .value = projected("v_proj", x),
                                       .mask = {.bias = bias}};
  return projected("o_proj", op::attention(operands, c.heads, c.heads).output);
}

Value convolve(const Scope& s, const Phi4Audio& c, Value x) {
  const ModulePath at(x, s.path());
  Graph& graph = x.graph();
  const Scope glu = s / "glu", separable = s / "dw_sep_conv_1d";
  const Value before = nn::LayerNorm(s / "layer_norm", c.hidden_size, kEps)(x);
  const std::vector<Value> halves =
      op::chunk(pointwise(glu / "ext_pw_conv_1d", 2 * c.pointwise, before), -1, 2);
  const auto shifted = [&](Value half, const char* key) {
    return op::add(half, graph.weight(glu.weight(key, {1, c.pointwise, 1}).reshape({c.pointwise})));
  };
  const Value values = shifted(halves[0], "b1");
  const Value gated = op::mul(values, act(c.gate_activation, shifted(halves[1], "b2")));
  const nn::Conv1d depthwise(separable / "dw_conv", c.hidden_size, c.depthwise, c.kernel, true,
                             {.padding = {c.kernel - 1, 0}, .groups = c.hidden_size});
  const Value mixed = op::transpose(depthwise(op::transpose(gated, 1, 2)), 1, 2);
  const Value joined = pointwise(separable / "pw_conv", c.separable, mixed);
  return pointwise(s / "ext_pw_conv_1d", c.pointwise, act(c.convolution_activation, joined));
}

Value run_layer(const Scope& s, const Phi4Audio& c, Value x, Value bias) {
  const ModulePath at(x, s.path());
  const auto norm = [&](const char* key) { return nn::LayerNorm(s / key, c.hidden_size, kEps); };
  x = op::add(feed_forward(s / "feed_forward_in", c, x), x);
  x = op::add(attend(s / "self_attn", c, norm("layer_norm_att")(x), bias), x);
  x = op::add(convolve(s / "conv", c, x), x);
  x = op::add(feed_forward(s / "feed_forward_out", c, x), x);
  return norm("layer_norm")(x);
}

}  // namespace

Phi4Audio::Phi4Audio(const PretrainedConfig& c)
    : hidden_size(c.integer("hidden_size")),
      inner(c.integer("intermediate_size")),
      layers(c.integer("num_blocks")),
      heads(c.integer("num_attention_heads")),
      bins(divisor(c, "input_size")),
      halvings(halvings_of(c)),
      front(divisor(c, "nemo_conv_channels")),
      kernel(divisor(c, "kernel_size")),
      chunk(c.integer("chunk_size")),
      left(c.integer("left_chunk")),
      distance(divisor(c, "bias_max_distance")),
      depthwise(hidden_size * divisor(c, "depthwise_multiplier")),
      separable(c.integer("depthwise_separable_out_channel")),
      pointwise(c.integer("ext_pw_out_channel")),
      symmetric(c.flag("bias_symmetric")),
      activation(c.string("activation")),
      convolution_activation(c.string("conv_activation")),
      gate_activation(c.string("conv_glu_type")),
      front_activation(c.string("nemo_activation")) {
  check_multiple(c, "audio_config.hidden_size", hidden_size, "num_attention_heads", heads);
  // For those who feed the files; what follows from other keys; a layer that the original does not look at.
  c.harmless({"audio_token_id", "nemo_final_size", "feature_layer"});
  if (const std::int64_t rate = c.integer("downsample_rate"); rate != 1 || chunk == 0) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: audio_config.downsample_rate is {} and chunk_size is {}, expected 1, "
                                  "and not 0, with which the original cannot run",
                                  c.origin(), rate, chunk));
  }
}

Dim Phi4Audio::states(Dim frames) const {
  for (std::int64_t i = 0; i < halvings; ++i) frames = (frames + Dim(1)).floor_div(2);
  return frames;
}

Value Phi4Audio::operator()(const Scope& s, Value features, Value real) const {
  const ModulePath at(features, s.path());
  Graph& graph = features.graph();
  const Scope front_norm = s / "encoder_embedding";
  Value x = op::sub(features, graph.weight(front_norm.weight("global_mean", {bins})));
  x = op::mul(x, graph.weight(front_norm.weight("global_invstd", {bins})));
  x = subsample(s / "embed", *this, x);

  // Long sounds in parts of kLongest states, of which the last one is filled with zeros.
  const Dim length = x.dim(1), part = length.min(kLongest);
  const Dim parts = (length + Dim(kLongest - 1)).floor_div(kLongest);
  const Dim all = x.dim(0) * parts, filling = parts * part - length;
  x = op::reshape(op::pad(x, {0, 0, 0}, {0, filling, 0}), {all, part, hidden_size});
  if (real) {
    const Value counts = op::pad(op::cast(real, DType::i64), {0, 0}, {0, filling});
    const Value seen = op::gt(op::reshape(counts, {all, part}), 0.0);
    // The original has no mask for a single sound.
    real = op::logical_or(seen, op::eq(op::size(graph, features.dim(0)), 1.0));
  }
  const Value bias = bias_of(s / "relative_attention_bias_layer", *this, graph, part, real);
  for (std::int64_t i = 0; i < layers; ++i) x = run_layer(s / "encoders" / i, *this, x, bias);
  return op::slice(op::reshape(x, {features.dim(0), parts * part, hidden_size}), 1, 0, length);
}

}  // namespace onnxport::models
