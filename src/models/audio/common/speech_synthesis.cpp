#include "models/audio/common/speech_synthesis.h"

#include <fmt/format.h>

#include <cmath>

#include "onnxport/error.h"
#include "onnxport/nn/conv.h"
#include "onnxport/signal_ops.h"

namespace onnxport::models {

// The token of a frame is the number of tokens that have ended before it.
Frames::Frames(Value durations, Value lengths) {
  const Value most = op::squeeze(op::amax(op::cast(lengths, DType::f32), 0), 0);
  numbers = op::arange(op::cast(most, DType::i64), Dim::symbol("frames"));
  const Value ends = op::cast(op::cumsum(durations, 1), DType::i64);
  const Value frame = op::unsqueeze(numbers, 1);
  const Value ended = op::le(op::unsqueeze(ends, 1), frame);
  const Value token = op::sum(op::cast(ended, DType::i64), 2, true);
  tokens = op::eq(token, op::arange(durations.graph(), durations.dim(1)));
}

Value scores_by_place(Value query, Value rows, Value place) {
  const Value products = op::matmul(query, op::transpose(rows, 0, 1));
  const Shape scores = {query.dim(0), query.dim(1), query.dim(2), query.dim(2)};
  return op::gather(products, 3, op::expand(place, scores));
}

Value interleaved_sinusoids(Value positions, std::int64_t width) {
  if (width < 2 || width % 2 != 0) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("positions of width {}, expected pairs of sine and cosine", width));
  }
  std::vector<double> frequencies;
  for (std::int64_t i = 0; i < width; i += 2) {
    const double place = static_cast<double>(i) / static_cast<double>(width);
    frequencies.push_back(std::exp(-place * std::log(10000.0)));
  }
  Graph& graph = positions.graph();
  const Value row = graph.weight_as_is(Weight::from_doubles(DType::f32, {1, width / 2}, frequencies));
  const Value angles = op::mul(op::unsqueeze(positions, 1), row);
  const Value sines = op::unsqueeze(op::sin(angles), 2);
  const Value pairs = op::concat({sines, op::unsqueeze(op::cos(angles), 2)}, 2);
  return op::reshape(pairs, {positions.dim(0), width});
}

PostnetParameters::PostnetParameters(const PretrainedConfig& c)
    : mel_bins(c.integer("num_mel_bins")),
      layers(c.integer("speech_decoder_postnet_layers")),
      units(c.integer("speech_decoder_postnet_units")),
      kernel(c.integer("speech_decoder_postnet_kernel")) {
  c.harmless({"speech_decoder_postnet_dropout"});
}

Value speech_postnet(const Scope& s, const PostnetParameters& p, Value spectrogram) {
  const ModulePath at(spectrogram, s.path());
  const std::int64_t around = nn::same_padding(p.kernel);
  Value x = op::transpose(spectrogram, 1, 2);
  for (std::int64_t i = 0; i < p.layers; ++i) {
    const Scope layer = s / "layers" / i;
    const bool last = i + 1 == p.layers;
    const std::int64_t in = i == 0 ? p.mel_bins : p.units, out = last ? p.mel_bins : p.units;
    x = nn::Conv1d(layer / "conv", in, out, p.kernel, false, {.padding = {around, around}})(x);
    x = nn::batch_norm1d(layer / "batch_norm", out, x);
    if (!last) x = op::tanh(x);
  }
  return op::add(spectrogram, op::transpose(x, 1, 2));
}

nn::HifiGanParameters hifigan_parameters(const PretrainedConfig& c, std::int64_t in) {
  return {.in = in,
          .channels = c.integer("upsample_initial_channel"),
          .rates = c.integers("upsample_rates"),
          .kernels = c.integers("upsample_kernel_sizes"),
          .block_kernels = c.integers("resblock_kernel_sizes"),
          .block_dilations = c.integer_lists("resblock_dilation_sizes"),
          .slope = c.real("leaky_relu_slope")};
}

Value hifigan_waveform(const Scope& s, const PretrainedConfig& c, Value spectrogram) {
  const std::int64_t in = c.integer("model_in_dim");
  const nn::HifiGan vocoder(s, hifigan_parameters(c, in));
  c.harmless({"sampling_rate"});
  const Weight mean = s.try_weight("mean", {in}), scale = s.try_weight("scale", {in});
  if (c.flag("normalize_before")) {
    Graph& graph = spectrogram.graph();
    if (mean) spectrogram = op::sub(spectrogram, graph.weight(mean));
    if (scale) spectrogram = op::div(spectrogram, graph.weight(scale));
  }
  return vocoder(op::transpose(spectrogram, 1, 2));
}

}  // namespace onnxport::models
