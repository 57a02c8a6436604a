#include "onnxport/nn/audio.h"

#include <utility>

#include "onnxport/op.h"

namespace onnxport::nn {

namespace {

// The default eps of these norms in the originals.
constexpr double kDefaultEps = 1e-5;

Value swap_time_and_channels(Value x) { return op::transpose(x, 1, 2); }

}  // namespace

FeatureEncoder::FeatureEncoder(const Scope& s, const FeatureEncoderParameters& p)
    : path_(s.path()), activation_(p.activation) {
  std::int64_t in = 1;
  for (std::size_t i = 0; i < p.channels.size(); ++i) {
    const Scope layer = s / "conv_layers" / static_cast<std::int64_t>(i);
    const std::int64_t out = p.channels[i];
    Layer& made = layers_.emplace_back(
        Layer{layer.path(),
              Conv1d(layer / "conv", in, out, p.kernels[i], p.bias, {.stride = {p.strides[i]}}),
              {},
              {}});
    if (p.layer_norm) {
      made.over_channels.emplace(layer / "layer_norm", out, kDefaultEps);
    } else if (i == 0) {
      made.over_time.emplace(layer / "layer_norm", out, out, kDefaultEps);
    }
    in = out;
  }
}

Value FeatureEncoder::operator()(Value samples) const {
  Value x = op::unsqueeze(samples, 1);
  for (const Layer& layer : layers_) {
    const ModulePath at(x, layer.path);
    x = layer.conv(x);
    if (layer.over_time) x = (*layer.over_time)(x);
    if (layer.over_channels) x = swap_time_and_channels((*layer.over_channels)(swap_time_and_channels(x)));
    x = activation_(x);
  }
  const ModulePath at(x, path_);
  return swap_time_and_channels(x);
}

FeatureProjection::FeatureProjection(const Scope& s, std::int64_t in, std::int64_t out,
                                     std::optional<double> eps)
    : path_(s.path()), projection_(s / "projection", in, out) {
  if (eps) norm_.emplace(s / "layer_norm", in, *eps);
}

Value FeatureProjection::operator()(Value features) const {
  const ModulePath at(features, path_);
  return projection_(norm_ ? (*norm_)(features) : features);
}

namespace {

Conv1d positional_conv(const Scope& s, const PositionalConvParameters& p) {
  const std::vector<std::int64_t> shape = {p.width, p.width / p.groups, p.kernel};
  Weight weight = p.batch_norm ? s.weight("weight", shape) : weight_norm(s, shape, 2);
  // The originals pad by half the kernel on both sides, and drop the surplus element of an even kernel at the
  // end.
  const std::int64_t before = p.kernel / 2, behind = p.kernel - 1 - before;
  return {s.path(),
          std::move(weight),
          s.weight("bias", {p.width}),
          {.stride = {p.stride}, .padding = {before, behind}, .groups = p.groups}};
}

}  // namespace

PositionalConv::PositionalConv(const Scope& s, const PositionalConvParameters& p)
    : path_(s.path()), conv_(positional_conv(s / "conv", p)), activation_(p.activation) {
  if (p.batch_norm) norm_.emplace(s / "batch_norm", p.width);
}

Value PositionalConv::operator()(Value x) const {
  const ModulePath at(x, path_);
  if (norm_) {
    x = op::mul(x, x.graph().weight(norm_->scale()));
    x = op::add(x, x.graph().weight(norm_->shift()));
  }
  return swap_time_and_channels(activation_(conv_(swap_time_and_channels(x))));
}

SpeechLayer::SpeechLayer(const Scope& s, const EncoderLayerParameters& p, bool pre_norm)
    : SpeechLayer(s, p, pre_norm, SelfAttention(s / p.attention_key, p.attention)) {}

SpeechLayer::SpeechLayer(const Scope& s, const EncoderLayerParameters& p, bool pre_norm,
                         FeedForward attention)
    : path_(s.path()),
      attention_(std::move(attention)),
      attention_norm_(s / p.attention_norm, p.attention.hidden_size, p.eps),
      feed_forward_(s.path(), Linear(s / p.up, p.attention.hidden_size, p.intermediate_size),
                    Linear(s / p.down, p.intermediate_size, p.attention.hidden_size), p.activation),
      output_norm_(s / p.output_norm, p.attention.hidden_size, p.eps),
      pre_norm_(pre_norm) {}

Value SpeechLayer::operator()(Value x) const {
  const ModulePath at(x, path_);
  if (pre_norm_) {
    x = op::add(attention_(attention_norm_(x)), x);
    return op::add(feed_forward_(output_norm_(x)), x);
  }
  x = attention_norm_(op::add(attention_(x), x));
  return output_norm_(op::add(feed_forward_(x), x));
}

SpeechEncoder::SpeechEncoder(const Scope& s, const SpeechEncoderParameters& p)
    : path_(s.path()),
      norm_(s / "layer_norm", p.layer.attention.hidden_size, p.layer.eps),
      pre_norm_(p.pre_norm) {
  if (p.make_positions) {
    positions_ = p.make_positions;
  } else {
    positions_ = PositionalConv(s / "pos_conv_embed", p.positions);
  }
  const std::int64_t width = p.layer.attention.hidden_size;
  for (std::int64_t i = 0; i < p.layers; ++i) {
    const Scope layer = s / "layers" / i;
    if (p.make_attention) {
      layers_.emplace_back(layer, p.layer, p.pre_norm, p.make_attention(layer / p.layer.attention_key, i));
    } else {
      layers_.emplace_back(layer, p.layer, p.pre_norm);
    }
    if (!p.pre_norm || !p.adapter_width) continue;
    const Scope adapter = layer / "adapter_layer";
    adapters_.push_back({LayerNorm(adapter / "norm", width, kDefaultEps),
                         Linear(adapter / "linear_1", width, *p.adapter_width),
                         Linear(adapter / "linear_2", *p.adapter_width, width)});
  }
}

std::vector<Value> SpeechEncoder::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value positions = positions_(x);
  x = op::add(x, positions);
  if (!pre_norm_) x = norm_(x);
  std::vector<Value> states = {x};
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    x = layers_[i](x);
    if (!adapters_.empty()) {
      const Adapter& adapter = adapters_[i];
      x = op::add(adapter.up(op::relu(adapter.down(adapter.norm(x)))), x);
    }
    states.push_back(x);
  }
  if (pre_norm_) states.back() = norm_(x);
  return states;
}

ConvAdapter::ConvAdapter(const Scope& s, const ConvAdapterParameters& p) : path_(s.path()) {
  if (p.in != p.out) {
    projection_.emplace(s / "proj", p.in, p.out);
    norm_.emplace(s / "proj_layer_norm", p.out, kDefaultEps);
  }
  for (std::int64_t i = 0; i < p.layers; ++i) {
    layers_.emplace_back(s / "layers" / i / "conv", p.out, 2 * p.out, p.kernel, true,
                         op::ConvOptions{.stride = {p.stride}, .padding = {1}});
  }
}

Value ConvAdapter::operator()(Value x) const {
  const ModulePath at(x, path_);
  if (projection_) x = (*norm_)((*projection_)(x));
  x = swap_time_and_channels(x);
  for (const Conv1d& layer : layers_) {
    const std::vector<Value> halves = op::chunk(layer(x), 1, 2);
    const Value gate = op::sigmoid(halves[1]);
    x = op::mul(halves[0], gate);
  }
  return swap_time_and_channels(x);
}

}  // namespace onnxport::nn
