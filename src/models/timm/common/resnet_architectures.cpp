#include "models/timm/common/resnet_architectures.h"

#include <fmt/format.h>

#include <utility>

namespace onnxport::models {
namespace {

using Layers = std::vector<std::int64_t>;
using Gate = TimmResNetGate;

TimmResNet bottlenecks(Layers layers) { return {.layers = std::move(layers)}; }
TimmResNet basic(Layers layers) { return {.layers = std::move(layers), .basic = true}; }

// The variants of a stem, by their letters.
TimmResNet with_stem(TimmResNet a, char letter) {
  a.stem = letter == 't' ? "deep_tiered" : "deep";
  a.stem_width = letter == 's' ? 64 : 32;
  a.average_down = letter == 'd' || letter == 't';
  return a;
}

TimmResNet with_gate(TimmResNet a, Gate gate) {
  a.gate = gate;
  return a;
}

TimmResNet grouped(TimmResNet a, std::int64_t groups, std::int64_t width) {
  a.groups = groups;
  a.base_width = width;
  return a;
}

TimmResNet rs(Layers layers) {
  TimmResNet a = with_gate(with_stem(bottlenecks(std::move(layers)), 'd'), Gate::quarter);
  a.conv_pool = true;
  return a;
}

TimmResNet senet154() {
  TimmResNet a = with_gate(grouped(bottlenecks({3, 8, 36, 3}), 64, 4), Gate::sixteenth);
  a.stem = "deep";
  a.down_kernel = 3;
  a.reduce_first = 2;
  return a;
}

std::map<std::string, TimmResNet, std::less<>> make() {
  const TimmResNet r18 = basic({2, 2, 2, 2}), r34 = basic({3, 4, 6, 3});
  const TimmResNet r26 = bottlenecks({2, 2, 2, 2}), r50 = bottlenecks({3, 4, 6, 3});
  const TimmResNet r101 = bottlenecks({3, 4, 23, 3}), r152 = bottlenecks({3, 8, 36, 3});
  const TimmResNet r200 = bottlenecks({3, 24, 36, 3}), r269 = bottlenecks({3, 30, 48, 8});
  std::map<std::string, TimmResNet, std::less<>> all = {
      {"resnet10t", with_stem(basic({1, 1, 1, 1}), 't')},
      {"resnet14t", with_stem(bottlenecks({1, 1, 1, 1}), 't')},
      {"resnet26t", with_stem(r26, 't')},
      {"resnet50t", with_stem(r50, 't')},
      {"wide_resnet50_2", grouped(r50, 1, 128)},
      {"wide_resnet101_2", grouped(r101, 1, 128)},
      {"resnext50_32x4d", grouped(r50, 32, 4)},
      {"resnext50d_32x4d", with_stem(grouped(r50, 32, 4), 'd')},
      {"resnext101_64x4d", grouped(r101, 64, 4)},
      {"senet154", senet154()},
      {"resnetrs50", rs(r50.layers)},
      {"resnetrs101", rs(r101.layers)},
      {"resnetrs152", rs(r152.layers)},
      {"resnetrs200", rs(r200.layers)},
      {"resnetrs270", rs({4, 29, 53, 4})},
      {"resnetrs350", rs({4, 36, 72, 4})},
      {"resnetrs420", rs({4, 44, 87, 4})},
  };
  const std::pair<int, TimmResNet> depths[] = {{18, r18},   {34, r34},   {26, r26},  {50, r50},
                                               {101, r101}, {152, r152}, {200, r200}};
  for (const auto& [depth, a] : depths) {
    all[fmt::format("resnet{}", depth)] = a;
    all[fmt::format("resnet{}d", depth)] = with_stem(a, 'd');
    if (depth != 50 && depth != 101 && depth != 152) continue;
    all[fmt::format("resnet{}c", depth)] = with_stem(a, 'c');
    all[fmt::format("resnet{}s", depth)] = with_stem(a, 's');
  }
  for (const int width : {4, 8, 16, 32})
    all[fmt::format("resnext101_32x{}d", width)] = grouped(r101, 32, width);

  const auto se = [&](const char* name, const TimmResNet& a) { all[name] = with_gate(a, Gate::sixteenth); };
  se("seresnet18", r18);
  se("seresnet34", r34);
  se("seresnet50", r50);
  se("seresnet50t", with_stem(r50, 't'));
  se("seresnet101", r101);
  se("seresnet152", r152);
  se("seresnet152d", with_stem(r152, 'd'));
  se("seresnet200d", with_stem(r200, 'd'));
  se("seresnet269d", with_stem(r269, 'd'));
  se("seresnext26d_32x4d", with_stem(grouped(r26, 32, 4), 'd'));
  se("seresnext26t_32x4d", with_stem(grouped(r26, 32, 4), 't'));
  se("seresnext50_32x4d", grouped(r50, 32, 4));
  se("seresnext101_32x4d", grouped(r101, 32, 4));
  se("seresnext101_32x8d", grouped(r101, 32, 8));
  se("seresnext101d_32x8d", with_stem(grouped(r101, 32, 8), 'd'));
  se("seresnext101_64x4d", grouped(r101, 64, 4));

  const auto eca = [&](const char* name, const TimmResNet& a) { all[name] = with_gate(a, Gate::neighbours); };
  TimmResNet light = bottlenecks({1, 1, 11, 3});
  light.average_down = true;
  eca("ecaresnetlight", light);
  eca("ecaresnet26t", with_stem(r26, 't'));
  eca("ecaresnet50d", with_stem(r50, 'd'));
  eca("ecaresnet50t", with_stem(r50, 't'));
  eca("ecaresnet101d", with_stem(r101, 'd'));
  eca("ecaresnet200d", with_stem(r200, 'd'));
  eca("ecaresnet269d", with_stem(r269, 'd'));
  eca("ecaresnext26t_32x4d", with_stem(grouped(r26, 32, 4), 't'));
  eca("ecaresnext50t_32x4d", with_stem(grouped(r50, 32, 4), 't'));
  return all;
}

}  // namespace

const std::map<std::string, TimmResNet, std::less<>>& resnet_architectures() {
  static const auto all = make();
  return all;
}

}  // namespace onnxport::models
