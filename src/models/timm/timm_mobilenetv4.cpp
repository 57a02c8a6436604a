// MobileNetV4 without attention. Original:
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/mobilenetv3.py
#include <fmt/format.h>

#include <map>
#include <utility>

#include "models/timm/common/family.h"
#include "models/timm/common/mobile_net.h"

namespace onnxport::models {
namespace {

using Nets = std::map<std::string, MobileNet, std::less<>>;

MobileBlocks conv(std::int64_t kernel, std::int64_t stride, std::int64_t channels) {
  return {MobileBlock::convolution, 1, kernel, stride, 1, channels, 0, "", false};
}

// A universal inverted bottleneck: kernels in front and inside. (Qin et al. 2024)
MobileBlocks uib(std::int64_t count, std::int64_t before, std::int64_t kernel, std::int64_t stride,
                 double expansion, std::int64_t channels) {
  return {MobileBlock::universal, count, kernel, stride, expansion, channels, 0, "", true, before};
}

std::vector<MobileBlocks> fused() { return {{MobileBlock::edge, 1, 3, 2, 4, 48}}; }
std::vector<MobileBlocks> last() { return {conv(1, 1, 960)}; }

MobileStages small() {
  return {{conv(3, 2, 32), conv(1, 1, 32)},
          {conv(3, 2, 96), conv(1, 1, 64)},
          {uib(1, 5, 5, 2, 3, 96), uib(4, 0, 3, 1, 2, 96), uib(1, 3, 0, 1, 4, 96)},
          {uib(1, 3, 3, 2, 6, 128), uib(1, 5, 5, 1, 4, 128), uib(1, 0, 5, 1, 4, 128), uib(1, 0, 5, 1, 3, 128),
           uib(2, 0, 3, 1, 4, 128)},
          last()};
}

MobileStages medium() {
  return {fused(),
          {uib(1, 3, 5, 2, 4, 80), uib(1, 3, 3, 1, 2, 80)},
          {uib(1, 3, 5, 2, 6, 160), uib(2, 3, 3, 1, 4, 160), uib(1, 3, 5, 1, 4, 160), uib(1, 3, 3, 1, 4, 160),
           uib(1, 3, 0, 1, 4, 160), uib(1, 0, 0, 1, 2, 160), uib(1, 3, 0, 1, 4, 160)},
          {uib(1, 5, 5, 2, 6, 256), uib(1, 5, 5, 1, 4, 256), uib(2, 3, 5, 1, 4, 256), uib(1, 0, 0, 1, 4, 256),
           uib(1, 3, 0, 1, 4, 256), uib(1, 3, 5, 1, 2, 256), uib(1, 5, 5, 1, 4, 256), uib(2, 0, 0, 1, 4, 256),
           uib(1, 5, 0, 1, 2, 256)},
          last()};
}

MobileStages large() {
  return {fused(),
          {uib(1, 3, 5, 2, 4, 96), uib(1, 3, 3, 1, 4, 96)},
          {uib(1, 3, 5, 2, 4, 192), uib(3, 3, 3, 1, 4, 192), uib(1, 3, 5, 1, 4, 192), uib(5, 5, 3, 1, 4, 192),
           uib(1, 3, 0, 1, 4, 192)},
          {uib(4, 5, 5, 2, 4, 512), uib(1, 5, 0, 1, 4, 512), uib(1, 5, 3, 1, 4, 512), uib(2, 5, 0, 1, 4, 512),
           uib(1, 5, 3, 1, 4, 512), uib(1, 5, 5, 1, 4, 512), uib(3, 5, 0, 1, 4, 512)},
          last()};
}

const Nets& architectures() {
  using Scaled = MobileNet::Scaled;
  static const Nets entries = {
      {"mobilenetv4_conv_small", {.stages = small()}},
      {"mobilenetv4_conv_small_050", {.stages = small(), .width = 0.5, .scaled = Scaled::without_stem}},
      {"mobilenetv4_conv_small_035", {.stages = small(), .width = 0.35, .scaled = Scaled::without_stem}},
      {"mobilenetv4_conv_medium", {.stages = medium()}},
      {"mobilenetv4_conv_large", {.stages = large(), .stem = 24}},
  };
  return entries;
}

MobileNet network(const TimmConfig& c) { return with_arguments(architecture_in(architectures(), c), c); }

std::vector<Value> stages(const Scope& s, const TimmConfig& c, Value pixel_values, std::int64_t last_stage) {
  return run_mobile_stages(s, c, network(c), pixel_values, last_stage);
}

TimmOutputs run(const Scope& s, const TimmConfig& c, Value pixel_values) {
  const MobileNet net = network(c);
  const Value x = run_mobile_stages(s, c, net, pixel_values, TimmFamily::kAll).back();
  const std::string pool = c.global_pool();
  const std::int64_t width = pooled_width(*x.dim(1).constant(), pool);
  const Value pixel = op::unsqueeze(op::unsqueeze(pool_image(x, pool), 2), 3);
  const nn::ConvLayer layer(
      s, {.in = width, .out = net.top, .eps = net.eps, .convolution = "conv_head", .norm = "norm_head"});
  const Value hidden = timm_activation(net.activation)(layer(pixel));
  return {x, classify(s / "classifier", c, op::flatten(hidden, 1, 3), net.top)};
}

}  // namespace

void register_timm_mobilenetv4(TasksManager& tasks) {
  tasks.register_model<TimmOnnxConfig>(timm_definition({.name = "mobilenetv4",
                                                        .architectures = architectures_of(architectures()),
                                                        .run = run,
                                                        .stages = stages}));
}

}  // namespace onnxport::models
