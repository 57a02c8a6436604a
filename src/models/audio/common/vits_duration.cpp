#include "models/audio/common/vits_duration.h"

#include <fmt/format.h>

#include <cmath>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/noise.h"
#include "onnxport/nn/sound.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;          // torch's default, not configurable
constexpr double kLeast = 1e-3;        // width and height of a bin, as a share of all, and its slope
constexpr std::int64_t kChannels = 2;  // of the latents

// A norm over the channels of x [B, width, L].
Value channel_norm(const Scope& s, std::int64_t width, double eps, Value x) {
  return op::transpose(nn::LayerNorm(s, width, eps)(op::transpose(x, 1, 2)), 1, 2);
}

nn::Conv1d pointwise(const Scope& s, std::int64_t in, std::int64_t out) { return {s, in, out, 1}; }

// Convolutions of single channels, of growing reach, with residuals.
Value separable_convs(const Scope& s, const VitsDurationConfig& c, Value x, Value mask) {
  const ModulePath at(x, s.path());
  std::int64_t dilation = 1;
  for (std::int64_t i = 0; i < c.layers; ++i, dilation *= c.kernel) {
    const std::int64_t around = nn::same_padding(c.kernel, dilation);
    const nn::Conv1d dilated(s / "convs_dilated" / i, c.hidden_size, c.hidden_size, c.kernel, true,
                             {.padding = {around, around}, .dilation = {dilation}, .groups = c.hidden_size});
    Value y = dilated(op::mul(x, mask));
    y = op::gelu(channel_norm(s / "norms_1" / i, c.hidden_size, kEps, y));
    y = pointwise(s / "convs_pointwise" / i, c.hidden_size, c.hidden_size)(y);
    y = op::gelu(channel_norm(s / "norms_2" / i, c.hidden_size, kEps, y));
    x = op::add(x, y);
  }
  return op::mul(x, mask);
}

// ---- rational quadratic splines (Durkan et al. 2019) ----

// The borders of the bins, from the logits of their sizes [B, L, bins]: [B, L, bins + 1] from -bound to
// bound.
Value borders(Value logits, std::int64_t bins, double bound) {
  const Value shares = op::softmax(logits, -1);
  const Value sizes = op::add(op::mul(shares, 1 - kLeast * static_cast<double>(bins)), kLeast);
  const Value ends = op::cumsum(op::slice(sizes, -1, 0, bins - 1), -1);
  const Value inner = op::sub(op::mul(ends, 2 * bound), bound);
  const Shape one = {logits.dim(0), logits.dim(1), 1};
  const Value first = op::expand(op::scalar(logits.graph(), -bound, logits.dtype()), one);
  const Value last = op::expand(op::scalar(logits.graph(), bound, logits.dtype()), one);
  return op::concat({first, inner, last}, -1);
}

// The value that belongs to the bin of each element: values [B, L, n], bin int64 [B, L, 1] -> [B, L, 1]
Value of_bin(Value values, Value bin) { return op::gather(values, 2, bin); }

// The inverse of the spline with these parameters [B, L, 3 * bins - 1] at y [B, L, 1]. Outside of its bounds,
// it changes nothing. In float32: the differences of sums are small.
Value inverse_spline(const VitsDurationConfig& c, Value y, Value parameters) {
  const std::int64_t n = c.bins;
  const double narrow = 1 / std::sqrt(static_cast<double>(c.hidden_size));
  const std::vector<Value> parts = op::split(parameters, -1, {n, n, n - 1});
  const Value xs = borders(op::mul(parts[0], narrow), n, c.tail_bound);
  const Value ys = borders(op::mul(parts[1], narrow), n, c.tail_bound);
  const auto sizes = [n](Value ends) {
    const Value left = op::slice(ends, -1, 0, n);
    return op::sub(op::slice(ends, -1, 1, n + 1), left);
  };
  const Value widths = sizes(xs), heights = sizes(ys);
  const Value slopes = op::div(heights, widths);
  // The slope at both ends is 1.
  const Value inner = op::add(op::softplus(parts[2]), kLeast);
  const Value one = op::expand(op::scalar(y.graph(), 1, y.dtype()), {y.dim(0), y.dim(1), 1});
  const Value ends = op::concat({one, inner, one}, -1);

  const Value inside = op::clamp(y, -c.tail_bound, c.tail_bound);
  const Value above = op::cast(op::ge(inside, op::slice(ys, -1, 1, n)), DType::i64);
  const Value bin = op::sum(above, -1, true);
  const Value height = of_bin(heights, bin), slope = of_bin(slopes, bin);
  const Value start = of_bin(op::slice(ends, -1, 0, n), bin),
              end = of_bin(op::slice(ends, -1, 1, n + 1), bin);

  // The root of a quadratic equation.
  const Value rise = op::sub(inside, of_bin(ys, bin));
  const Value both = op::add(start, end);
  const Value bend = op::sub(both, op::mul(slope, 2.0));
  const Value bent = op::mul(rise, bend);
  const Value a = op::add(op::mul(height, op::sub(slope, start)), bent);
  const Value b = op::sub(op::mul(height, start), bent);
  const Value minus_c = op::mul(slope, rise);
  const Value four = op::mul(op::mul(a, minus_c), 4.0);
  const Value root = op::sqrt(op::add(op::mul(b, b), four));
  const Value twice = op::mul(minus_c, 2.0);
  const Value share = op::div(twice, op::add(b, root));
  const Value moved = op::mul(share, of_bin(widths, bin));
  const Value x = op::add(moved, of_bin(xs, bin));
  const Value outside = op::gt(op::abs(y), c.tail_bound);
  return op::where(outside, y, x);
}

// latents [B, 2, L]: the first channel decides how the second one changes.
Value conv_flow(const Scope& s, const VitsDurationConfig& c, Value latents, Value mask, Value condition) {
  const ModulePath at(latents, s.path());
  const std::vector<Value> halves = op::split(latents, 1, {1, 1});
  const Value before = op::add(pointwise(s / "conv_pre", 1, c.hidden_size)(halves[0]), condition);
  const Value hidden = separable_convs(s / "conv_dds", c, before, mask);
  const Value parameters = op::mul(pointwise(s / "conv_proj", c.hidden_size, 3 * c.bins - 1)(hidden), mask);
  const auto wide = [](Value x) { return op::cast(op::transpose(x, 1, 2), DType::f32); };
  const Value wide_parameters = wide(parameters);
  const Value second = inverse_spline(c, wide(halves[1]), wide_parameters);
  const Value narrow = op::cast(op::transpose(second, 1, 2), latents.dtype());
  return op::mul(op::concat({halves[0], narrow}, 1), mask);
}

Value stochastic(const Scope& s, const VitsDurationConfig& c, Value hidden, Value mask) {
  Graph& graph = hidden.graph();
  Value x = pointwise(s / "conv_pre", c.hidden_size, c.hidden_size)(hidden);
  x = separable_convs(s / "conv_dds", c, x, mask);
  x = op::mul(pointwise(s / "conv_proj", c.hidden_size, c.hidden_size)(x), mask);
  const Shape shape = {hidden.dim(0), kChannels, hidden.dim(2)};
  Value latents = op::expand(op::scalar(graph, 0, hidden.dtype()), shape);
  if (c.noise_scale != 0)
    latents = op::cast(op::mul(nn::normal_noise(graph, shape, 1), c.noise_scale), hidden.dtype());
  // All flows but the second one, which the original leaves out, from the last to the first.
  for (std::int64_t i = c.flows; i > 1; --i)
    latents = conv_flow(s / "flows" / i, c, flipped_channels(latents), mask, x);
  const Scope affine = s / "flows" / 0;
  const Value translate = graph.weight(affine.weight("translate", {kChannels, 1}));
  const Value log_scale = graph.weight(affine.weight("log_scale", {kChannels, 1}));
  const Value centered = op::sub(flipped_channels(latents), translate);
  const Value scaled = op::mul(op::mul(centered, op::exp(op::neg(log_scale))), mask);
  return op::slice(scaled, 1, 0, 1);
}

Value deterministic(const Scope& s, const VitsDurationConfig& c, Value x, Value mask) {
  const std::int64_t around = nn::same_padding(c.kernel);
  std::int64_t in = c.hidden_size;
  for (const char* number : {"_1", "_2"}) {
    const nn::Conv1d conv(s / (std::string("conv") + number), in, c.filters, c.kernel, true,
                          {.padding = {around, around}});
    const Value y = op::relu(conv(op::mul(x, mask)));
    x = channel_norm(s / (std::string("norm") + number), c.filters, c.eps, y);
    in = c.filters;
  }
  return op::mul(pointwise(s / "proj", c.filters, 1)(op::mul(x, mask)), mask);
}

}  // namespace

VitsDurationConfig::VitsDurationConfig(const PretrainedConfig& c)
    : hidden_size(c.integer("hidden_size")),
      flows(c.integer("duration_predictor_num_flows")),
      bins(c.integer("duration_predictor_flow_bins")),
      layers(c.integer("depth_separable_num_layers")),
      kernel(c.integer("duration_predictor_kernel_size")),
      tail_bound(c.real("duration_predictor_tail_bound")),
      noise_scale(c.real("noise_scale_duration")),
      filters(c.integer("duration_predictor_filter_channels")),
      eps(c.real("layer_norm_eps")),
      stochastic(c.flag("use_stochastic_duration_prediction")) {
  const std::int64_t channels = c.integer("depth_separable_channels");
  const bool fits = channels == kChannels && bins >= 2 && bins <= 1000 && flows >= 1 && layers >= 0 &&
                    layers <= 16 && kernel >= 1 && std::pow(kernel, layers) <= (1 << 24) && tail_bound > 0;
  if (fits) return;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format(
          "{}: depth_separable_channels {}, depth_separable_num_layers {}, "
          "duration_predictor_flow_bins {}, duration_predictor_num_flows {}, "
          "duration_predictor_kernel_size {} and duration_predictor_tail_bound {} do not fit; expected "
          "2 channels, 2 to 1000 bins, and at least one flow",
          c.origin(), channels, layers, bins, flows, kernel, tail_bound));
}

Value vits_log_durations(const Scope& s, const VitsDurationConfig& c, Value hidden, Value mask) {
  const ModulePath at(hidden, s.path());
  return c.stochastic ? stochastic(s, c, hidden, mask) : deterministic(s, c, hidden, mask);
}

Value flipped_channels(Value x) {
  const std::int64_t count = *x.dim(1).constant();
  std::vector<std::int64_t> order;
  for (std::int64_t i = count; i-- > 0;) order.push_back(i);
  const Value indices = x.graph().weight(Weight::from_ints({count}, order));
  return op::transpose(op::embedding(op::transpose(x, 0, 1), indices), 0, 1);
}

}  // namespace onnxport::models
