#include "models/timm/common/mobile_net.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "models/timm/common/family.h"
#include "models/vision/common/stages.h"
#include "onnxport/nn/conv.h"

namespace onnxport::models {
namespace {

// A block of its own.
struct Block {
  MobileBlocks like;
  std::int64_t in, out, stride;

  std::string activation(const MobileNet& net) const {
    return *like.activation == '\0' ? net.activation : like.activation;
  }
  std::int64_t inside() const { return round_channels(static_cast<double>(in) * like.expansion, 8, 8); }
  bool adds() const {
    return like.residual && like.kind != MobileBlock::depthwise_act && stride == 1 && in == out;
  }
};

struct Layer {
  const char *convolution, *norm;
  bool activate = true;
};

Value run_layer(const Scope& s, const Layer& layer, const MobileNet& net, const Block& block,
                nn::ConvLayerParameters p, Value x) {
  p.convolution = layer.convolution;
  p.norm = layer.norm;
  p.padding = net.padding;
  p.eps = net.eps;
  const Value y = nn::ConvLayer(s, p)(x);
  return layer.activate ? timm_activation(block.activation(net))(y) : y;
}

std::int64_t gate_width(const MobileGates& gates, const Block& block, std::int64_t channels) {
  using Width = MobileGates::Width;
  const bool expands = block.like.kind == MobileBlock::inverted || block.like.kind == MobileBlock::edge;
  const bool of_input = gates.width == Width::of_input || gates.width == Width::in_steps_95;
  const double share = of_input && expands ? block.like.squeeze / block.like.expansion : block.like.squeeze;
  const double wanted = static_cast<double>(channels) * share;
  if (gates.width == Width::in_steps) return round_channels(wanted, 8, 8);
  if (gates.width == Width::in_steps_95) return round_channels(wanted, 8, 8, 0.95);
  return static_cast<std::int64_t>(std::nearbyint(wanted));
}

// Gates of channels, from the means of all of them. Keys: conv_reduce, conv_expand.
Value gated(const Scope& s, const MobileNet& net, const Block& block, Value x) {
  if (block.like.squeeze == 0) return x;
  const ModulePath at(x, s.path());
  const MobileGates& gates = net.gates;
  const std::int64_t channels = *x.dim(1).constant(), reduced = gate_width(gates, block, channels);
  const std::string activation = *gates.activation == '\0' ? block.activation(net) : gates.activation;
  const nn::Conv2d reduce(s / "conv_reduce", channels, reduced, {1, 1});
  const nn::Conv2d expand(s / "conv_expand", reduced, channels, {1, 1});
  const Value means = op::unsqueeze(op::mean(op::flatten(x, 2, 3), 2, true), 3);
  const Value factors = timm_activation(gates.gate)(expand(timm_activation(activation)(reduce(means))));
  return op::mul(x, factors);
}

Value run_block(const Scope& s, const MobileNet& net, const Block& b, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t kernel = b.like.kernel;
  Value y;
  switch (b.like.kind) {
    case MobileBlock::depthwise:
    case MobileBlock::depthwise_act: {
      const bool activate = b.like.kind == MobileBlock::depthwise_act;
      y = run_layer(s, {"conv_dw", "bn1"}, net, b,
                    {.in = b.in, .out = b.in, .kernel = kernel, .stride = b.stride, .groups = b.in}, x);
      y = gated(s / "se", net, b, y);
      y = run_layer(s, {"conv_pw", "bn2", activate}, net, b, {.in = b.in, .out = b.out}, y);
      break;
    }
    case MobileBlock::inverted: {
      const std::int64_t inside = b.inside();
      y = run_layer(s, {"conv_pw", "bn1"}, net, b, {.in = b.in, .out = inside}, x);
      y = run_layer(s, {"conv_dw", "bn2"}, net, b,
                    {.in = inside, .out = inside, .kernel = kernel, .stride = b.stride, .groups = inside}, y);
      y = gated(s / "se", net, b, y);
      y = run_layer(s, {"conv_pwl", "bn3", false}, net, b, {.in = inside, .out = b.out}, y);
      break;
    }
    case MobileBlock::edge: {
      const std::int64_t inside = b.inside();
      y = run_layer(s, {"conv_exp", "bn1"}, net, b,
                    {.in = b.in, .out = inside, .kernel = kernel, .stride = b.stride}, x);
      y = gated(s / "se", net, b, y);
      y = run_layer(s, {"conv_pwl", "bn2", false}, net, b, {.in = inside, .out = b.out}, y);
      break;
    }
    case MobileBlock::universal: {
      const std::int64_t inside = b.inside(), first = kernel > 0 ? 1 : b.stride;
      y = x;
      if (b.like.before > 0) {
        y = run_layer(s, {"dw_start.conv", "dw_start.bn", false}, net, b,
                      {.in = b.in, .out = b.in, .kernel = b.like.before, .stride = first, .groups = b.in}, y);
      }
      y = run_layer(s, {"pw_exp.conv", "pw_exp.bn"}, net, b, {.in = b.in, .out = inside}, y);
      if (kernel > 0) {
        y = run_layer(s, {"dw_mid.conv", "dw_mid.bn"}, net, b,
                      {.in = inside, .out = inside, .kernel = kernel, .stride = b.stride, .groups = inside},
                      y);
      }
      y = run_layer(s, {"pw_proj.conv", "pw_proj.bn", false}, net, b, {.in = inside, .out = b.out}, y);
      break;
    }
    case MobileBlock::convolution:
      y = run_layer(s, {"conv", "bn1"}, net, b,
                    {.in = b.in, .out = b.out, .kernel = kernel, .stride = b.stride}, x);
      break;
  }
  return b.adds() ? op::add(y, x) : y;
}

// The numbers of blocks of a stage, multiplied: the last kinds get their share first.
std::vector<std::int64_t> counts_of(const MobileNet& net, std::size_t stage) {
  const std::vector<MobileBlocks>& kinds = net.stages[stage];
  const bool end = stage == 0 || stage + 1 == net.stages.size();
  const double factor = end && net.scaled == MobileNet::Scaled::without_ends ? 1 : net.depth;
  double left = 0;
  for (const MobileBlocks& one : kinds) left += static_cast<double>(one.count);
  double scaled = net.rounds_depth ? std::max(1.0, std::nearbyint(left * factor)) : std::ceil(left * factor);
  std::vector<std::int64_t> counts(kinds.size());
  for (std::size_t i = kinds.size(); i-- > 0;) {
    const auto usual = static_cast<double>(kinds[i].count);
    const double count = std::max(1.0, std::nearbyint(usual / left * scaled));
    counts[i] = static_cast<std::int64_t>(count);
    left -= usual;
    scaled -= count;
  }
  return counts;
}

}  // namespace

std::int64_t MobileNet::channels(std::int64_t usual) const {
  return round_channels(static_cast<double>(usual) * width, 8, 8, least);
}

MobileNet MobileNet::tensorflow() const {
  MobileNet net = *this;
  net.padding = nn::ConvPadding::tensorflow;
  net.eps = 1e-3;
  return net;
}

MobileNet with_arguments(MobileNet net, const TimmConfig& c) {
  net.eps = c.real("bn_eps", net.eps);
  const std::string padding = c.string("pad_type", net.padding == nn::ConvPadding::tensorflow ? "same" : "");
  if (padding != "same" && !padding.empty())
    c.refuse(fmt::format("model_args.pad_type is '{}', expected same or nothing", padding));
  net.padding = padding.empty() ? nn::ConvPadding::centered : nn::ConvPadding::tensorflow;
  if (const std::int64_t stride = c.integer("output_stride", 32); stride != 32)
    c.refuse(fmt::format("model_args.output_stride is {}, expected 32", stride));
  return net;
}

std::vector<Value> run_mobile_stages(const Scope& s, const TimmConfig& c, const MobileNet& net,
                                     Value pixel_values, std::int64_t last) {
  const bool scaled_stem = net.scaled == MobileNet::Scaled::all;
  std::int64_t in = scaled_stem ? net.channels(net.stem) : net.stem;
  Value x = run_layer(s, {"conv_stem", "bn1"}, net, {.like = {.activation = ""}},
                      {.in = c.num_channels(), .out = in, .kernel = 3, .stride = 2}, pixel_values);
  std::vector<Value> all;
  const auto shrinks = [&](std::size_t stage) {
    return stage == net.stages.size() || net.stages[stage].front().stride > 1;
  };
  if (shrinks(0)) all.push_back(x);
  for (std::size_t i = 0; i < net.stages.size() && std::ssize(all) <= last; ++i) {
    const std::vector<std::int64_t> counts = counts_of(net, i);
    std::int64_t number = 0;
    for (std::size_t k = 0; k < counts.size(); ++k) {
      const MobileBlocks& like = net.stages[i][k];
      const std::int64_t out = net.channels(like.channels);
      for (std::int64_t j = 0; j < counts[k]; ++j, ++number) {
        const Block block{.like = like, .in = in, .out = out, .stride = number == 0 ? like.stride : 1};
        x = run_block(s / "blocks" / static_cast<std::int64_t>(i) / number, net, block, x);
        in = out;
      }
    }
    if (shrinks(i + 1)) all.push_back(x);
  }
  return all;
}

}  // namespace onnxport::models
