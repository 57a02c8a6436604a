#include "onnxport/nn/conv_layer.h"

#include "onnxport/op.h"

namespace onnxport::nn {
namespace {

Conv2d convolution(const Scope& s, const ConvLayerParameters& p) {
  const std::int64_t around = p.padding == ConvPadding::centered ? (p.kernel - 1) / 2 * p.dilation : 0;
  return {s / p.convolution,
          p.in,
          p.out,
          {p.kernel, p.kernel},
          false,
          {.stride = {p.stride, p.stride},
           .padding = {around, around},
           .dilation = {p.dilation, p.dilation},
           .groups = p.groups}};
}

}  // namespace

ConvLayer::ConvLayer(const Scope& s, const ConvLayerParameters& p)
    : layer_{convolution(s, p), BatchNorm2d(s / p.norm, p.out, p.eps)}, padding_(p.padding) {
  if (!p.activation.empty()) activation_.emplace(p.activation);
}

Value ConvLayer::operator()(Value x) const {
  const bool same = padding_ == ConvPadding::tensorflow;
  const Value y = same ? layer_.norm(layer_.convolution.with_same_padding(x)) : layer_(x);
  return activation_ ? (*activation_)(y) : y;
}

InvertedResidual::InvertedResidual(const Scope& s, const InvertedResidualParameters& p)
    : expand_(s / "expand_1x1",
              {.in = p.in, .out = p.inner, .padding = p.padding, .activation = p.activation, .eps = p.eps}),
      depthwise_(s / "conv_3x3", {.in = p.inner,
                                  .out = p.inner,
                                  .kernel = 3,
                                  .stride = p.stride,
                                  .dilation = p.dilation,
                                  .groups = p.inner,
                                  .padding = p.padding,
                                  .activation = p.activation,
                                  .eps = p.eps}),
      reduce_(s / "reduce_1x1", {.in = p.inner, .out = p.out, .padding = p.padding, .eps = p.eps}),
      residual_(p.stride == 1 && p.in == p.out) {}

Value InvertedResidual::operator()(Value x) const {
  const Value y = reduce_(depthwise_(expand_(x)));
  return residual_ ? op::add(x, y) : y;
}

SqueezeExcite::SqueezeExcite(const Scope& s, const SqueezeExciteParameters& p)
    : path_(s.path()),
      reduce_(s / p.reduce, p.channels, p.reduced, {1, 1}),
      expand_(s / p.expand, p.reduced, p.channels, {1, 1}),
      activation_(p.activation) {}

Value SqueezeExcite::operator()(Value x) const {
  const ModulePath at(x, path_);
  const Value means = op::unsqueeze(op::mean(op::flatten(x, 2, 3), 2, true), 3);
  const Value gates = op::sigmoid(expand_(activation_(reduce_(means))));
  return op::mul(x, gates);
}

}  // namespace onnxport::nn
