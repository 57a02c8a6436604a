// MobileNetV3, FBNetV3 and LCNet: networks with a layer after pooling. Original:
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/mobilenetv3.py
#include <fmt/format.h>

#include <map>

#include "models/timm/common/family.h"
#include "models/timm/common/mobile_net.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

struct Net : MobileNet {
  bool top_bias = true;  // of the layer after pooling
};
using Nets = std::map<std::string, Net, std::less<>>;
constexpr auto ds = MobileBlock::depthwise, dsa = MobileBlock::depthwise_act, ir = MobileBlock::inverted,
               cn = MobileBlock::convolution;

// {kind, count, kernel, stride, expansion, channels, squeeze, activation}
MobileStages large(double squeeze, const char* early, std::int64_t kernel) {
  return {{{ds, 1, 3, 1, 1, 16, 0, early}},
          {{ir, 1, 3, 2, 4, 24, 0, early}, {ir, 1, 3, 1, 3, 24, 0, early}},
          {{ir, 3, kernel, 2, 3, 40, squeeze, early}},
          {{ir, 1, 3, 2, 6, 80}, {ir, 1, 3, 1, 2.5, 80}, {ir, 2, 3, 1, 2.3, 80}},
          {{ir, 2, 3, 1, 6, 112, squeeze}},
          {{ir, 3, kernel, 2, 6, 160, squeeze}},
          {{cn, 1, 1, 1, 1, 960, 0, "", false}}};
}

MobileStages small(double squeeze, const char* early, std::int64_t kernel) {
  return {{{ds, 1, 3, 2, 1, 16, squeeze, early}},
          {{ir, 1, 3, 2, 4.5, 24, 0, early}, {ir, 1, 3, 1, 3.67, 24, 0, early}},
          {{ir, 1, kernel, 2, 4, 40, squeeze}, {ir, 2, kernel, 1, 6, 40, squeeze}},
          {{ir, 2, kernel, 1, 3, 48, squeeze}},
          {{ir, 3, kernel, 2, 6, 96, squeeze}},
          {{cn, 1, 1, 1, 1, 576, 0, "", false}}};
}

constexpr MobileGates kGates = {MobileGates::Width::in_steps, "relu", "hard_sigmoid"};

Net v3(MobileStages stages, std::int64_t top, double width) {
  Net net;
  net.stages = std::move(stages);
  net.width = width;
  net.stem = 16;
  net.top = top;
  net.activation = "hard_swish";
  net.gates = kGates;
  if (width < 0.75) net.scaled = MobileNet::Scaled::without_stem;
  return net;
}

Net for_tensorflow(Net net) {
  static_cast<MobileNet&>(net) = net.tensorflow();
  return net;
}

Net minimal(Net net) {
  net.activation = "relu";
  return for_tensorflow(net);
}

void add_mobilenets(Nets& all) {
  const MobileStages larger = large(0.25, "relu", 5), smaller = small(0.25, "relu", 5);
  for (const int percent : {75, 100}) {
    const double width = percent / 100.0;
    all[fmt::format("mobilenetv3_large_{:03}", percent)] = v3(larger, 1280, width);
    all[fmt::format("mobilenetv3_small_{:03}", percent)] = v3(smaller, 1024, width);
    all[fmt::format("tf_mobilenetv3_large_{:03}", percent)] = for_tensorflow(v3(larger, 1280, width));
    all[fmt::format("tf_mobilenetv3_small_{:03}", percent)] = for_tensorflow(v3(smaller, 1024, width));
  }
  all["mobilenetv3_small_050"] = v3(smaller, 1024, 0.5);
  all["mobilenetv3_large_150d"] = v3(larger, 1280, 1.5);
  all["mobilenetv3_large_150d"].depth = 1.2;
  all["tf_mobilenetv3_large_minimal_100"] = minimal(v3(large(0, "", 3), 1280, 1));
  all["tf_mobilenetv3_small_minimal_100"] = minimal(v3(small(0, "", 3), 1024, 1));

  Net rw = v3(larger, 1280, 1);
  rw.stages.front().front().residual = false;
  rw.gates = {MobileGates::Width::of_inside, "", "hard_sigmoid"};
  rw.eps = 1e-3;
  rw.top_bias = false;
  all["mobilenetv3_rw"] = rw;
}

void add_others(Nets& all) {
  const MobileStages lcnet = {{{dsa, 1, 3, 1, 1, 32}},  {{dsa, 2, 3, 2, 1, 64}},
                              {{dsa, 2, 3, 2, 1, 128}}, {{dsa, 1, 3, 2, 1, 256}, {dsa, 1, 5, 1, 1, 256}},
                              {{dsa, 4, 5, 1, 1, 256}}, {{dsa, 2, 5, 2, 1, 512, 0.25}}};
  for (const int percent : {35, 50, 75, 100, 150}) {
    Net net = v3(lcnet, 1280, percent / 100.0);
    net.gates = {MobileGates::Width::of_inside, "relu", "hard_sigmoid"};
    net.scaled = MobileNet::Scaled::all;
    all[fmt::format("lcnet_{:03}", percent)] = net;
  }

  const auto fbnet = [&](const char* name, std::int64_t stem, MobileStages stages) {
    Net net = v3(std::move(stages), 1984, 1);
    net.stem = stem;
    net.gates = {MobileGates::Width::in_steps_95, "", "hard_sigmoid"};
    net.least = 0.95;
    net.top_bias = false;
    all[name] = net;
  };
  constexpr double se = 0.25;
  fbnet("fbnetv3_b", 16,
        {{{ds, 2, 3, 1, 1, 16}},
         {{ir, 1, 5, 2, 4, 24}, {ir, 3, 5, 1, 2, 24}},
         {{ir, 1, 5, 2, 5, 40, se}, {ir, 4, 5, 1, 3, 40, se}},
         {{ir, 1, 5, 2, 5, 72}, {ir, 4, 3, 1, 3, 72}},
         {{ir, 1, 3, 1, 5, 120, se}, {ir, 5, 5, 1, 3, 120, se}},
         {{ir, 1, 3, 2, 6, 184, se}, {ir, 5, 5, 1, 4, 184, se}, {ir, 1, 5, 1, 6, 224, se}},
         {{cn, 1, 1, 1, 1, 1344, 0, "", false}}});
  fbnet("fbnetv3_d", 24,
        {{{ds, 2, 3, 1, 1, 16}},
         {{ir, 1, 3, 2, 5, 24}, {ir, 5, 3, 1, 2, 24}},
         {{ir, 1, 5, 2, 4, 40, se}, {ir, 4, 3, 1, 3, 40, se}},
         {{ir, 1, 3, 2, 5, 72}, {ir, 4, 3, 1, 3, 72}},
         {{ir, 1, 3, 1, 5, 128, se}, {ir, 6, 5, 1, 3, 128, se}},
         {{ir, 1, 3, 2, 6, 208, se}, {ir, 5, 5, 1, 5, 208, se}, {ir, 1, 5, 1, 6, 240, se}},
         {{cn, 1, 1, 1, 1, 1440, 0, "", false}}});
  fbnet("fbnetv3_g", 32,
        {{{ds, 3, 3, 1, 1, 24}},
         {{ir, 1, 5, 2, 4, 40}, {ir, 4, 5, 1, 2, 40}},
         {{ir, 1, 5, 2, 4, 56, se}, {ir, 4, 5, 1, 3, 56, se}},
         {{ir, 1, 5, 2, 5, 104}, {ir, 4, 3, 1, 3, 104}},
         {{ir, 1, 3, 1, 5, 160, se}, {ir, 8, 5, 1, 3, 160, se}},
         {{ir, 1, 3, 2, 6, 264, se}, {ir, 6, 5, 1, 5, 264, se}, {ir, 2, 5, 1, 6, 288, se}},
         {{cn, 1, 1, 1, 1, 1728, 0, "", false}}});
}

const Nets& architectures() {
  static const Nets entries = [] {
    Nets all;
    add_mobilenets(all);
    add_others(all);
    return all;
  }();
  return entries;
}

std::vector<Value> stages(const Scope& s, const TimmConfig& c, Value pixel_values, std::int64_t last) {
  return run_mobile_stages(s, c, with_arguments(architecture_in(architectures(), c), c), pixel_values, last);
}

TimmOutputs run(const Scope& s, const TimmConfig& c, Value pixel_values) {
  const Net& net = architecture_in(architectures(), c);
  const Value x = stages(s, c, pixel_values, TimmFamily::kAll).back();
  const std::string pool = c.global_pool();
  const std::int64_t width = pooled_width(*x.dim(1).constant(), pool);
  const Scope head = s / "conv_head";
  const Weight weight = head.weight("weight", {net.top, width, 1, 1}).reshape({net.top, width});
  const nn::Linear layer(head.path(), weight, net.top_bias ? head.weight("bias", {net.top}) : Weight());
  const Value hidden = timm_activation(net.activation)(layer(pool_image(x, pool)));
  return {x, classify(s / "classifier", c, hidden, net.top)};
}

}  // namespace

void register_timm_mobilenetv3(TasksManager& tasks) {
  tasks.register_model<TimmOnnxConfig>(timm_definition({.name = "mobilenetv3",
                                                        .architectures = architectures_of(architectures()),
                                                        .run = run,
                                                        .stages = stages}));
}

}  // namespace onnxport::models
