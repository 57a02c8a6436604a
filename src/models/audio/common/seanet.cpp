#include "models/audio/common/seanet.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "onnxport/error.h"
#include "onnxport/nn/lstm.h"
#include "onnxport/signal_ops.h"

namespace onnxport::models {
namespace {

std::optional<nn::GroupNorm> time_norm_of(const Scope& s, std::int64_t channels, bool time_norm) {
  if (!time_norm) return {};
  return nn::GroupNorm(s / "norm", 1, channels);
}

// Pads like the original, which appends zeros to an input that is too short to be mirrored, and cuts them
// off again.
Value padded(Value x, const std::string& mode, const Dim& before, const Dim& after) {
  const Shape left = {0, 0, before}, right = {0, 0, after};
  if (mode == "constant") return op::pad(x, left, right);
  if (mode == "replicate") return op::pad(x, left, right, op::PadMode::edge);
  // The larger of both, for `before` is a number and `after` at least 0.
  const std::int64_t most = *before.constant();
  const Dim longest = most + after - after.min(most);
  const Dim missing = Dim(0) - (x.dim(2) - longest - 1).min(0);
  const Value longer = op::pad(x, {0, 0, 0}, {0, 0, missing});
  const Value mirrored = op::pad(longer, left, right, op::PadMode::reflect);
  return op::slice(mirrored, 2, 0, before + x.dim(2) + after);
}

}  // namespace

SeanetConv::SeanetConv(const Scope& s, const SeanetPadding& padding, std::int64_t in, std::int64_t out,
                       std::int64_t kernel, op::ConvOptions options, bool bias, bool time_norm)
    : padding_(padding),
      reach_((kernel - 1) * (options.dilation.empty() ? 1 : options.dilation[0]) + 1),
      stride_(options.stride.empty() ? 1 : options.stride[0]),
      conv_(nn::sound_conv(s / "conv", in, out, kernel, bias, options)),
      norm_(time_norm_of(s, out, time_norm)) {
  if (reach_ >= stride_) return;
  throw ExportError(ErrorCode::bad_config, fmt::format("{}: a kernel of {} is shorter than its stride, {}",
                                                       s.path(), kernel, stride_));
}

Value SeanetConv::operator()(Value x) const {
  const Dim& length = x.dim(2);
  const Dim rest = stride_ * (length + stride_ - 1).floor_div(stride_) - length;
  const std::int64_t all = reach_ - stride_, behind = padding_.causal ? 0 : all / 2;
  if (all > 0 || stride_ > 1) x = padded(x, padding_.mode, all - behind, behind + rest);
  const Value y = conv_(x);
  return norm_ ? (*norm_)(y) : y;
}

SeanetConvTranspose::SeanetConvTranspose(const Scope& s, const SeanetPadding& padding, std::int64_t in,
                                         std::int64_t out, std::int64_t kernel,
                                         const op::ConvOptions& options, bool bias, bool time_norm)
    : conv_(s / "conv", in, out, kernel, bias, options), norm_(time_norm_of(s, out, time_norm)) {
  const std::int64_t all = kernel - options.stride.at(0);
  const double share = padding.causal ? padding.trim_right : 0.5;
  if (all < 0 || !(share >= 0) || share > 1 || (!padding.causal && padding.trim_right != 1)) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: kernel {}, stride {} and trim_right_ratio {}, expected a kernel not "
                                  "below the stride, and a ratio between 0 and 1, or 1 without causality",
                                  s.path(), kernel, options.stride[0], padding.trim_right));
  }
  const double cut = static_cast<double>(all) * share;
  right_ = static_cast<std::int64_t>(padding.causal ? std::ceil(cut) : std::floor(cut));
  left_ = all - right_;
}

// The norm sees all of the result, also the part that is cut off.
Value SeanetConvTranspose::operator()(Value x) const {
  Value y = conv_(x);
  if (norm_) y = (*norm_)(y);
  if (left_ == 0 && right_ == 0) return y;
  return op::slice(y, 2, left_, y.dim(2) - right_);
}

SeanetConfig::SeanetConfig(const PretrainedConfig& c) : SeanetConfig(c, c.integers("upsampling_ratios")) {}

SeanetConfig::SeanetConfig(const PretrainedConfig& c, std::vector<std::int64_t> upsampling_ratios)
    : padding{.mode = c.string("pad_mode"),
              .causal = c.flag("use_causal_conv"),
              .trim_right = c.real("trim_right_ratio")},
      channels(c.integer("audio_channels")),
      filters(c.integer("num_filters")),
      hidden_size(c.integer("hidden_size")),
      residual_layers(c.integer("num_residual_layers")),
      kernel(c.integer("kernel_size")),
      last_kernel(c.integer("last_kernel_size")),
      residual_kernel(c.integer("residual_kernel_size")),
      dilation_growth(c.integer("dilation_growth_rate")),
      compress(c.integer("compress")),
      ratios(std::move(upsampling_ratios)),
      shortcut(c.flag("use_conv_shortcut")) {
  constexpr std::int64_t kMost = 1 << 16;
  const bool known = padding.mode == "constant" || padding.mode == "reflect" || padding.mode == "replicate";
  if (!known) {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: pad_mode is '{}', expected constant, reflect or replicate", c.origin(),
                                  padding.mode));
  }
  bool fits = !ratios.empty() && ratios.size() < 16 && residual_layers >= 0 && residual_layers <= 16;
  for (const std::int64_t number :
       {channels, filters, hidden_size, kernel, last_kernel, residual_kernel, dilation_growth, compress})
    fits = fits && number >= 1 && number <= kMost;
  for (const std::int64_t ratio : ratios) fits = fits && ratio >= 1 && ratio <= 1024;
  fits = fits && hop_length() <= (1 << 24) && std::pow(dilation_growth, residual_layers) <= kMost;
  if (fits) return;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: sizes of the convolutions that do not fit: audio_channels {}, num_filters {}, "
                  "kernel_size {}, last_kernel_size {}, residual_kernel_size {}, num_residual_layers {}, "
                  "dilation_growth_rate {}, compress {}, upsampling_ratios [{}]",
                  c.origin(), channels, filters, kernel, last_kernel, residual_kernel, residual_layers,
                  dilation_growth, compress, fmt::join(ratios, ", ")));
}

std::int64_t SeanetConfig::hop_length() const {
  std::int64_t product = 1;
  for (const std::int64_t ratio : ratios) product = std::min(product * ratio, std::int64_t{1} << 40);
  return product;
}

namespace {

// The modules of the original are numbered, also those without weights.
class Layers {
 public:
  Layers(const Scope& s, const SeanetConfig& c, Value x) : s_(s), c_(c), x_(x) {}
  void conv(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride = 1) {
    x_ = SeanetConv(next(), c_.padding, in, out, kernel, {.stride = {stride}}, true, c_.time_norm)(x_);
  }
  void transposed(std::int64_t in, std::int64_t out, std::int64_t ratio) {
    x_ = SeanetConvTranspose(next(), c_.padding, in, out, 2 * ratio, {.stride = {ratio}}, true,
                             c_.time_norm)(x_);
  }
  void elu() {
    x_ = nn::elu(x_);
    ++index_;
  }
  void lstm(std::int64_t width) {
    if (c_.lstm_layers == 0) return;
    const Value tokens = op::transpose(x_, 1, 2);
    const nn::Lstm layers(next() / "lstm", width, width, c_.lstm_layers);
    x_ = op::transpose(op::add(layers(tokens).output, tokens), 1, 2);
  }
  void residual_blocks(std::int64_t width) {
    std::int64_t dilation = 1;
    for (std::int64_t i = 0; i < c_.residual_layers; ++i, dilation *= c_.dilation_growth) {
      const Scope s = next();
      const std::int64_t narrow = width / c_.compress;
      const auto conv = [&](const Scope& at, std::int64_t in, std::int64_t out, std::int64_t kernel,
                            std::int64_t dilated) {
        return SeanetConv(at, c_.padding, in, out, kernel, {.dilation = {dilated}}, true, c_.time_norm);
      };
      const Value once = conv(s / "block" / 1, width, narrow, c_.residual_kernel, dilation)(nn::elu(x_));
      const Value twice = conv(s / "block" / 3, narrow, width, 1, 1)(nn::elu(once));
      if (c_.shortcut) x_ = conv(s / "shortcut", width, width, 1, 1)(x_);
      x_ = op::add(x_, twice);
    }
  }
  Value result() const { return x_; }

 private:
  Scope next() { return s_ / "layers" / index_++; }

  const Scope& s_;
  const SeanetConfig& c_;
  Value x_;
  std::int64_t index_ = 0;
};

}  // namespace

Value seanet_encode(const Scope& s, const SeanetConfig& c, Value samples) {
  const ModulePath at(samples, s.path());
  Layers layers(s, c, samples);
  std::int64_t width = c.filters;
  layers.conv(c.channels, width, c.kernel);
  for (auto ratio = c.ratios.rbegin(); ratio != c.ratios.rend(); ++ratio, width *= 2) {
    layers.residual_blocks(width);
    layers.elu();
    layers.conv(width, 2 * width, 2 * *ratio, *ratio);
  }
  layers.lstm(width);
  layers.elu();
  layers.conv(width, c.hidden_size, c.last_kernel);
  return layers.result();
}

Value seanet_decode(const Scope& s, const SeanetConfig& c, Value hidden) {
  const ModulePath at(hidden, s.path());
  Layers layers(s, c, hidden);
  std::int64_t width = c.filters << c.ratios.size();
  layers.conv(c.hidden_size, width, c.kernel);
  layers.lstm(width);
  for (const std::int64_t ratio : c.ratios) {
    layers.elu();
    layers.transposed(width, width / 2, ratio);
    width /= 2;
    layers.residual_blocks(width);
  }
  layers.elu();
  layers.conv(width, c.channels, c.last_kernel);
  return layers.result();
}

}  // namespace onnxport::models
