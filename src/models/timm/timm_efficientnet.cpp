// EfficientNet, MobileNetV1 and V2, MnasNet and other networks with a convolution before pooling. Original:
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/efficientnet.py
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "models/timm/common/family.h"
#include "models/timm/common/mobile_net.h"

namespace onnxport::models {
namespace {

using Nets = std::map<std::string, MobileNet, std::less<>>;
constexpr auto ds = MobileBlock::depthwise, dsa = MobileBlock::depthwise_act, ir = MobileBlock::inverted,
               er = MobileBlock::edge, cn = MobileBlock::convolution;

// {kind, count, kernel, stride, expansion, channels, squeeze}
MobileStages mnasnet(bool gates) {
  const double squeeze = gates ? 0.25 : 0;
  MobileStages stages = {{{ds, 1, 3, 1, 1, 16}}};
  stages[0][0].residual = false;
  if (gates) {
    stages.insert(stages.end(), {{{ir, 2, 3, 2, 6, 24}},
                                 {{ir, 3, 5, 2, 3, 40, squeeze}},
                                 {{ir, 4, 3, 2, 6, 80}},
                                 {{ir, 2, 3, 1, 6, 112, squeeze}},
                                 {{ir, 3, 5, 2, 6, 160, squeeze}},
                                 {{ir, 1, 3, 1, 6, 320}}});
    return stages;
  }
  stages.insert(stages.end(), {{{ir, 3, 3, 2, 3, 24}},
                               {{ir, 3, 5, 2, 3, 40}},
                               {{ir, 3, 5, 2, 6, 80}},
                               {{ir, 2, 3, 1, 6, 96}},
                               {{ir, 4, 5, 2, 6, 192}},
                               {{ir, 1, 3, 1, 6, 320}}});
  stages.back().front().residual = false;
  return stages;
}

MobileStages efficientnet(double squeeze) {
  return {{{ds, 1, 3, 1, 1, 16, squeeze}}, {{ir, 2, 3, 2, 6, 24, squeeze}},  {{ir, 2, 5, 2, 6, 40, squeeze}},
          {{ir, 3, 3, 2, 6, 80, squeeze}}, {{ir, 3, 5, 1, 6, 112, squeeze}}, {{ir, 4, 5, 2, 6, 192, squeeze}},
          {{ir, 1, 3, 1, 6, 320, squeeze}}};
}

// The stages of EfficientNetV2, whose first blocks have a residual though they are single convolutions.
MobileStages efficientnet_v2(const std::string& size) {
  constexpr double se = 0.25;
  if (size == "base") {
    return {{{cn, 1, 3, 1, 1, 16}},     {{er, 2, 3, 2, 4, 32}},      {{er, 2, 3, 2, 4, 48}},
            {{ir, 3, 3, 2, 4, 96, se}}, {{ir, 5, 3, 1, 6, 112, se}}, {{ir, 8, 3, 2, 6, 192, se}}};
  }
  if (size == "s") {
    return {{{cn, 2, 3, 1, 1, 24}},      {{er, 4, 3, 2, 4, 48}},      {{er, 4, 3, 2, 4, 64}},
            {{ir, 6, 3, 2, 4, 128, se}}, {{ir, 9, 3, 1, 6, 160, se}}, {{ir, 15, 3, 2, 6, 256, se}}};
  }
  if (size == "m") {
    return {{{cn, 3, 3, 1, 1, 24}},      {{er, 5, 3, 2, 4, 48}},       {{er, 5, 3, 2, 4, 80}},
            {{ir, 7, 3, 2, 4, 160, se}}, {{ir, 14, 3, 1, 6, 176, se}}, {{ir, 18, 3, 2, 6, 304, se}},
            {{ir, 5, 3, 1, 6, 512, se}}};
  }
  if (size == "l") {
    return {{{cn, 4, 3, 1, 1, 32}},       {{er, 7, 3, 2, 4, 64}},       {{er, 7, 3, 2, 4, 96}},
            {{ir, 10, 3, 2, 4, 192, se}}, {{ir, 19, 3, 1, 6, 224, se}}, {{ir, 25, 3, 2, 6, 384, se}},
            {{ir, 7, 3, 1, 6, 640, se}}};
  }
  return {{{cn, 4, 3, 1, 1, 32}},       {{er, 8, 3, 2, 4, 64}},       {{er, 8, 3, 2, 4, 96}},
          {{ir, 16, 3, 2, 4, 192, se}}, {{ir, 24, 3, 1, 6, 256, se}}, {{ir, 32, 3, 2, 6, 512, se}},
          {{ir, 8, 3, 1, 6, 640, se}}};
}

void add_mobilenets(Nets& all) {
  const MobileStages v1 = {{{dsa, 1, 3, 1, 1, 64}},
                           {{dsa, 2, 3, 2, 1, 128}},
                           {{dsa, 2, 3, 2, 1, 256}},
                           {{dsa, 6, 3, 2, 1, 512}},
                           {{dsa, 2, 3, 2, 1, 1024}}};
  all["mobilenetv1_100"] = {.stages = v1, .top = 0, .activation = "relu6"};
  all["mobilenetv1_125"] = {.stages = v1, .width = 1.25, .top = 0, .activation = "relu6"};
  all["mobilenetv1_100h"] = {.stages = v1, .top = 1024, .activation = "relu6"};

  const MobileStages v2 = {{{ds, 1, 3, 1, 1, 16}}, {{ir, 2, 3, 2, 6, 24}}, {{ir, 3, 3, 2, 6, 32}},
                           {{ir, 4, 3, 2, 6, 64}}, {{ir, 3, 3, 1, 6, 96}}, {{ir, 3, 3, 2, 6, 160}},
                           {{ir, 1, 3, 1, 6, 320}}};
  for (const int percent : {35, 50, 75, 100, 140}) {
    MobileNet net{.stages = v2, .width = percent / 100.0, .activation = "relu6"};
    net.top = std::max<std::int64_t>(1280, net.channels(1280));
    all[fmt::format("mobilenetv2_{:03}", percent)] = net;
  }
  MobileNet deep{.stages = v2,
                 .width = 1.1,
                 .depth = 1.2,
                 .activation = "relu6",
                 .scaled = MobileNet::Scaled::without_ends};
  all["mobilenetv2_110d"] = deep;
  deep.width = 1.2;
  deep.depth = 1.4;
  all["mobilenetv2_120d"] = deep;

  for (const int percent : {50, 75, 100, 140}) {
    const double width = percent / 100.0;
    all[fmt::format("mnasnet_{:03}", percent)] = {.stages = mnasnet(false), .width = width};
    all[fmt::format("semnasnet_{:03}", percent)] = {.stages = mnasnet(true), .width = width};
  }
  all["mnasnet_small"] = {.stages = {{{ds, 1, 3, 1, 1, 8}},
                                     {{ir, 1, 3, 2, 3, 16}},
                                     {{ir, 2, 3, 2, 6, 16}},
                                     {{ir, 4, 5, 2, 6, 32, 0.25}},
                                     {{ir, 3, 3, 1, 6, 32, 0.25}},
                                     {{ir, 3, 5, 2, 6, 88, 0.25}},
                                     {{ir, 1, 3, 1, 6, 144}}},
                          .stem = 8};
}

void add_efficientnets(Nets& all) {
  struct Factors {
    const char* name;
    double width, depth;
  };
  const Factors factors[] = {{"b0", 1, 1},     {"b1", 1, 1.1},   {"b2", 1.1, 1.2}, {"b3", 1.2, 1.4},
                             {"b4", 1.4, 1.8}, {"b5", 1.6, 2.2}, {"b6", 1.8, 2.6}, {"b7", 2, 3.1},
                             {"b8", 2.2, 3.6}, {"l2", 4.3, 5.3}};
  const auto both = [&](const std::string& name, const MobileNet& net) {
    all[name] = net;
    all["tf_" + name] = net.tensorflow();
  };
  for (const auto& [name, width, depth] : factors) {
    MobileNet net{.stages = efficientnet(0.25), .width = width, .depth = depth, .activation = "silu"};
    net.top = net.channels(1280);
    both(fmt::format("efficientnet_{}", name), net);
  }
  for (std::size_t i = 0; i < 5; ++i) {  // no gates, and the ends as they are
    const MobileNet net{.stages = efficientnet(0),
                        .width = factors[i].width,
                        .depth = factors[i].depth,
                        .activation = "relu6",
                        .scaled = MobileNet::Scaled::without_ends};
    both(fmt::format("efficientnet_lite{}", i), net);
  }
  const Factors tiny[] = {
      {"a", 1, 1.2}, {"b", 0.75, 1.1}, {"c", 0.54, 0.85}, {"d", 0.54, 0.695}, {"e", 0.51, 0.6}};
  for (const auto& [name, width, depth] : tiny) {
    all[fmt::format("tinynet_{}", name)] = {.stages = efficientnet(0.25),
                                            .width = width,
                                            .depth = depth,
                                            .activation = "silu",
                                            .scaled = MobileNet::Scaled::without_stem,
                                            .rounds_depth = true};
  }
}

void add_efficientnets_v2(Nets& all) {
  for (const auto& [size, stem] : {std::pair("s", 24), {"m", 24}, {"l", 32}, {"xl", 32}}) {
    const MobileNet net{.stages = efficientnet_v2(size), .stem = stem, .activation = "silu"};
    all[fmt::format("efficientnetv2_{}", size)] = net;
    all[fmt::format("tf_efficientnetv2_{}", size)] = net.tensorflow();
  }
  const std::pair<double, double> factors[] = {{1, 1}, {1, 1.1}, {1.1, 1.2}, {1.2, 1.4}};
  for (std::size_t i = 0; i < 4; ++i) {
    MobileNet net{.stages = efficientnet_v2("base"),
                  .width = factors[i].first,
                  .depth = factors[i].second,
                  .activation = "silu",
                  .least = 0};
    net.top = net.channels(1280);
    all[fmt::format("tf_efficientnetv2_b{}", i)] = net.tensorflow();
  }
  MobileNet small{
      .stages = efficientnet_v2("s"), .width = 0.8, .depth = 0.9, .stem = 24, .activation = "silu"};
  small.top = small.channels(1280);
  all["efficientnetv2_rw_t"] = small;
  MobileNet first{.stages = efficientnet_v2("s"), .stem = 24, .top = 1792, .activation = "silu"};
  first.stages.front() = {{er, 2, 3, 1, 1, 24}};
  first.stages.back().front().channels = 272;
  all["efficientnetv2_rw_s"] = first;
}

const Nets& architectures() {
  static const Nets entries = [] {
    Nets all;
    add_mobilenets(all);
    add_efficientnets(all);
    add_efficientnets_v2(all);
    return all;
  }();
  return entries;
}

MobileNet network(const TimmConfig& c) { return with_arguments(architecture_in(architectures(), c), c); }

std::vector<Value> stages(const Scope& s, const TimmConfig& c, Value pixel_values, std::int64_t last) {
  return run_mobile_stages(s, c, network(c), pixel_values, last);
}

TimmOutputs run(const Scope& s, const TimmConfig& c, Value pixel_values) {
  const MobileNet net = network(c);
  Value x = run_mobile_stages(s, c, net, pixel_values, TimmFamily::kAll).back();
  if (net.top > 0) {
    const nn::ConvLayer top(s, {.in = *x.dim(1).constant(),
                                .out = net.top,
                                .padding = net.padding,
                                .eps = net.eps,
                                .convolution = "conv_head",
                                .norm = "bn2"});
    x = timm_activation(net.activation)(top(x));
  }
  return {x, classify_image(s / "classifier", c, x, *x.dim(1).constant())};
}

}  // namespace

void register_timm_efficientnet(TasksManager& tasks) {
  tasks.register_model<TimmOnnxConfig>(timm_definition({.name = "efficientnet",
                                                        .architectures = architectures_of(architectures()),
                                                        .run = run,
                                                        .stages = stages}));
}

}  // namespace onnxport::models
