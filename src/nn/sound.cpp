#include "onnxport/nn/sound.h"

#include <fmt/format.h>

#include <utility>

#include "onnxport/error.h"
#include "onnxport/signal_ops.h"

namespace onnxport::nn {

Weight conv_weight(const Scope& s, const std::vector<std::int64_t>& shape) {
  if (s.has("parametrizations.weight.original0")) return weight_norm(s, shape, 0);
  return s.weight("weight", shape);
}

Conv1d sound_conv(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel, bool bias,
                  op::ConvOptions options) {
  const Weight weight = conv_weight(s, {out, in / options.groups, kernel});
  return {s.path(), weight, bias ? s.weight("bias", {out}) : Weight(), std::move(options)};
}

std::int64_t same_padding(std::int64_t kernel, std::int64_t dilation) {
  constexpr std::int64_t kMost = 1 << 24;
  if (kernel < 1 || kernel > kMost || kernel % 2 == 0 || dilation < 1 || dilation > kMost) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("a convolution with a kernel of {} and a dilation of {} does not keep the "
                                  "length of its input, expected an odd kernel",
                                  kernel, dilation));
  }
  return (kernel - 1) / 2 * dilation;
}

ConvTranspose1d::ConvTranspose1d(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel,
                                 bool bias, op::ConvOptions options)
    : path_(s.path()),
      weight_(conv_weight(s, {in, out / options.groups, kernel})),
      bias_(bias ? s.weight("bias", {out}) : Weight()),
      options_(std::move(options)) {}

Value ConvTranspose1d::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value weight = x.graph().weight(weight_);
  const Value bias = bias_ ? x.graph().weight(bias_) : Value();
  return op::conv_transpose1d(x, weight, bias, options_);
}

Value leaky_relu(Value x, double slope) { return op::maximum(x, op::mul(x, slope)); }

Value elu(Value x) {
  const Value positive = op::relu(x);
  const Value negative = op::sub(op::exp(op::minimum(x, 0.0)), 1.0);
  return op::add(positive, negative);
}

Value batch_norm1d(const Scope& s, std::int64_t channels, Value x) {
  const ModulePath at(x, s.path());
  const BatchNorm2d norm(s, channels);
  const Value scaled = op::mul(x, x.graph().weight(norm.scale().reshape({channels, 1})));
  return op::add(scaled, x.graph().weight(norm.shift().reshape({channels, 1})));
}

namespace {

// The channels that go in, if the parameters fit each other.
std::int64_t checked_input(const HifiGanParameters& p, const std::string& path) {
  bool fits = p.rates.size() == p.kernels.size() && !p.rates.empty() && p.rates.size() < 32 &&
              p.block_kernels.size() == p.block_dilations.size() && !p.block_kernels.empty();
  for (std::size_t i = 0; fits && i < p.rates.size(); ++i)
    fits = p.rates[i] >= 1 && p.kernels[i] >= p.rates[i] && (p.kernels[i] - p.rates[i]) % 2 == 0;
  fits = fits && p.channels >> p.rates.size() >= 1 && p.slope >= 0 && p.slope <= 1;
  if (fits) return p.in;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: a vocoder with upsample_rates [{}], upsample_kernel_sizes [{}], {} "
                  "resblock_kernel_sizes, {} resblock_dilation_sizes, {} channels and leaky_relu_slope {}; "
                  "expected lists of equal lengths, kernels that exceed the rates by an even number, and "
                  "channels for every upsampling",
                  path, fmt::join(p.rates, ", "), fmt::join(p.kernels, ", "), p.block_kernels.size(),
                  p.block_dilations.size(), p.channels, p.slope));
}

}  // namespace

HifiGan::HifiGan(const Scope& s, const HifiGanParameters& p)
    : path_(s.path()),
      before_(sound_conv(s / "conv_pre", checked_input(p, path_), p.channels, 7, true, {.padding = {3, 3}})),
      after_(sound_conv(s / "conv_post", p.channels >> p.rates.size(), 1, 7, p.output_bias,
                        {.padding = {3, 3}})),
      slope_(p.slope) {
  std::int64_t block = 0;
  for (std::size_t i = 0; i < p.rates.size(); ++i) {
    const std::int64_t in = p.channels >> i, out = p.channels >> (i + 1);
    const std::int64_t padding = (p.kernels[i] - p.rates[i]) / 2;
    upsamplers_.emplace_back(s / "upsampler" / static_cast<std::int64_t>(i), in, out, p.kernels[i], true,
                             op::ConvOptions{.stride = {p.rates[i]}, .padding = {padding, padding}});
    for (std::size_t j = 0; j < p.block_kernels.size(); ++j, ++block) {
      const Scope at = s / "resblocks" / block;
      const std::int64_t kernel = p.block_kernels[j];
      Block made{at.path(), {}, {}};
      for (std::size_t k = 0; k < p.block_dilations[j].size(); ++k) {
        const auto conv = [&](const char* name, std::int64_t dilation) {
          const std::int64_t around = same_padding(kernel, dilation);
          return sound_conv(at / name / static_cast<std::int64_t>(k), out, out, kernel, true,
                            {.padding = {around, around}, .dilation = {dilation}});
        };
        made.first.push_back(conv("convs1", p.block_dilations[j][k]));
        made.second.push_back(conv("convs2", 1));
      }
      blocks_.push_back(std::move(made));
    }
  }
}

Value HifiGan::operator()(Value spectrogram) const {
  const ModulePath at(spectrogram, path_);
  const std::size_t each = blocks_.size() / upsamplers_.size();
  Value x = before_(spectrogram);
  for (std::size_t i = 0; i < upsamplers_.size(); ++i) {
    x = upsamplers_[i](leaky_relu(x, slope_));
    Value sum;
    for (std::size_t j = 0; j < each; ++j) {
      const Block& block = blocks_[i * each + j];
      const ModulePath inside(x, block.path);
      Value y = x;
      for (std::size_t k = 0; k < block.first.size(); ++k) {
        const Value once = block.first[k](leaky_relu(y, slope_));
        const Value twice = block.second[k](leaky_relu(once, slope_));
        y = op::add(y, twice);
      }
      sum = sum ? op::add(sum, y) : y;
    }
    x = op::div(sum, static_cast<double>(each));
  }
  return op::squeeze(op::tanh(after_(leaky_relu(x))), 1);
}

}  // namespace onnxport::nn
