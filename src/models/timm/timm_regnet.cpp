// RegNet X, Y and Z. Original:
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/regnet.py
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "models/timm/common/family.h"
#include "models/vision/common/stages.h"
#include "onnxport/nn/conv_layer.h"

namespace onnxport::models {
namespace {

// How widths grow from block to block. (Radosavovic et al. 2020)
struct RegNet {
  std::int64_t depth, first_width;
  double slope, factor;
  std::int64_t group;
  double squeeze = 0;      // channels in the gates of a block, relative to its input; 0: no gates
  double group_share = 0;  // how much of a group may be filled up by rounding down; 0: half
  double bottleneck = 1;   // channels inside of a block
  std::int64_t top = 0;    // channels of a last convolution; 0: none
};

const std::map<std::string, RegNet, std::less<>>& architectures() {
  static const auto entries = [] {
    std::map<std::string, RegNet, std::less<>> all = {
        {"regnetx_002", {13, 24, 36.44, 2.49, 8}},      {"regnetx_004", {22, 24, 24.48, 2.54, 16}},
        {"regnetx_006", {16, 48, 36.97, 2.24, 24}},     {"regnetx_008", {16, 56, 35.73, 2.28, 16}},
        {"regnetx_016", {18, 80, 34.01, 2.25, 24}},     {"regnetx_032", {25, 88, 26.31, 2.25, 48}},
        {"regnetx_040", {23, 96, 38.65, 2.43, 40}},     {"regnetx_064", {17, 184, 60.83, 2.07, 56}},
        {"regnetx_080", {23, 80, 49.56, 2.88, 120}},    {"regnetx_120", {19, 168, 73.36, 2.37, 112}},
        {"regnetx_160", {22, 216, 55.59, 2.1, 128}},    {"regnetx_320", {23, 320, 69.86, 2.0, 168}},
        {"regnety_002", {13, 24, 36.44, 2.49, 8}},      {"regnety_004", {16, 48, 27.89, 2.09, 8}},
        {"regnety_006", {15, 48, 32.54, 2.32, 16}},     {"regnety_008", {14, 56, 38.84, 2.4, 16}},
        {"regnety_016", {27, 48, 20.71, 2.65, 24}},     {"regnety_032", {21, 80, 42.63, 2.66, 24}},
        {"regnety_040", {22, 96, 31.41, 2.24, 64}},     {"regnety_064", {25, 112, 33.22, 2.27, 72}},
        {"regnety_080", {17, 192, 76.82, 2.19, 56}},    {"regnety_120", {19, 168, 73.36, 2.37, 112}},
        {"regnety_160", {18, 200, 106.23, 2.48, 112}},  {"regnety_320", {20, 232, 115.89, 2.53, 232}},
        {"regnety_640", {20, 352, 147.48, 2.4, 328}},   {"regnety_1280", {27, 456, 160.83, 2.52, 264}},
        {"regnety_2560", {27, 640, 230.83, 2.53, 373}},
    };
    for (const char* name : {"regnetx_004", "regnety_008", "regnety_080"}) {
      RegNet torchvision = all.at(name);
      torchvision.group_share = 0.9;
      all[fmt::format("{}_tv", name)] = torchvision;
    }
    for (auto& [name, a] : all) a.squeeze = name.starts_with("regnety") ? 0.25 : 0;
    all["regnetz_005"] = {21, 16, 10.7, 2.51, 4, 0.25, 0, 4, 1024};
    all["regnetz_040"] = {28, 48, 14.5, 2.226, 8, 0.25, 0, 4};
    all["regnetz_040_h"] = {28, 48, 14.5, 2.226, 8, 0.25, 0, 4, 1536};
    return all;
  }();
  return entries;
}

struct Stage {
  std::int64_t width, depth, group;
};

struct Config : RegNet {
  std::int64_t stem_width;
  std::string activation;
  bool z;  // no shortcut where shapes change, no activation at the end of a block
  std::vector<Stage> stages;

  explicit Config(const TimmConfig& c) : RegNet(architecture_in(architectures(), c)) {
    z = c.architecture().starts_with("regnetz");
    depth = c.integer("depth", depth);
    first_width = c.positive("w0", first_width);
    slope = c.real("wa", slope);
    factor = c.real("wm", factor);
    group = c.positive("group_size", group);
    squeeze = c.real("se_ratio", squeeze);
    bottleneck = c.real("bottle_ratio", bottleneck);
    stem_width = c.positive("stem_width", 32);
    top = c.integer("num_features", top);
    activation = c.string("act_layer", z ? "silu" : "relu");
    constexpr std::int64_t kDeepest = 1000;
    const bool grows = slope >= 0 && factor > 1 && first_width % 8 == 0 && squeeze >= 0 && squeeze <= 1;
    if (!grows || depth < 1 || depth > kDeepest || !(bottleneck > 0) || top < 0) {
      c.fail(fmt::format("model_args: depth {}, w0 {}, wa {}, wm {}, bottle_ratio {}, se_ratio {}", depth,
                         first_width, slope, factor, bottleneck, squeeze));
    }
    if (const std::int64_t stride = c.integer("output_stride", 32); stride != 32)
      c.refuse(fmt::format("model_args.output_stride is {}, expected 32", stride));
    make_stages();
    if (stages.size() > 16) c.fail(fmt::format("model_args give {} stages", stages.size()));
  }

 private:
  // Widths grow with the number of the block, and are rounded to powers of the factor, then to multiples
  // of 8.
  void make_stages() {
    for (std::int64_t i = 0; i < depth; ++i) {
      const auto first = static_cast<double>(first_width);
      const double wanted = first + slope * static_cast<double>(i);
      const double power = std::nearbyint(std::log(wanted / first) / std::log(factor));
      const double width = std::nearbyint(first * std::pow(factor, power) / 8) * 8;
      const auto rounded = static_cast<std::int64_t>(width);
      if (!stages.empty() && stages.back().width == rounded) {
        ++stages.back().depth;
      } else {
        stages.push_back({rounded, 1, group});
      }
    }
    for (Stage& stage : stages) fit(stage);
  }

  // Makes the width inside of the blocks a multiple of the groups.
  void fit(Stage& stage) const {
    const auto inner = static_cast<std::int64_t>(static_cast<double>(stage.width) * bottleneck);
    stage.group = std::max<std::int64_t>(1, std::min(group, inner));
    const double filled = static_cast<double>(inner);
    const auto groups = static_cast<std::int64_t>(std::nearbyint(filled / static_cast<double>(stage.group)));
    const std::int64_t whole = group_share > 0 ? round_channels(filled, stage.group, stage.group, group_share)
                                               : groups * stage.group;
    stage.width = static_cast<std::int64_t>(static_cast<double>(whole) / bottleneck);
  }
};

nn::ConvLayer layer(const Scope& s, nn::ConvLayerParameters p) {
  p.convolution = "conv";
  p.norm = "bn";
  return {s, p};
}

Value run_block(const Scope& s, const Config& c, const Stage& stage, std::int64_t in, std::int64_t stride,
                Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t out = stage.width;
  const auto inner = static_cast<std::int64_t>(std::nearbyint(static_cast<double>(out) * c.bottleneck));
  const std::int64_t groups = inner / stage.group;
  Value y = layer(s / "conv1", {.in = in, .out = inner, .activation = c.activation})(x);
  y = layer(s / "conv2", {.in = inner,
                          .out = inner,
                          .kernel = 3,
                          .stride = stride,
                          .groups = groups,
                          .activation = c.activation})(y);
  if (c.squeeze > 0) {
    const auto reduced = static_cast<std::int64_t>(std::nearbyint(static_cast<double>(in) * c.squeeze));
    y = nn::SqueezeExcite(s / "se", {.channels = inner,
                                     .reduced = reduced,
                                     .activation = c.activation,
                                     .reduce = "fc1",
                                     .expand = "fc2"})(y);
  }
  y = layer(s / "conv3", {.in = inner, .out = out})(y);
  const bool same = in == out && stride == 1;
  if (c.z) return same ? op::add(y, x) : y;
  if (!same) x = layer(s / "downsample", {.in = in, .out = out, .stride = stride})(x);
  return timm_activation(c.activation)(op::add(y, x));
}

// The results of the stem and of the stages up to number `last`.
std::vector<Value> run_stages(const Scope& s, const TimmConfig& timm, const Config& c, Value pixel_values,
                              std::int64_t last) {
  std::int64_t in = c.stem_width;
  Value x =
      layer(s / "stem",
            {.in = timm.num_channels(), .out = in, .kernel = 3, .stride = 2, .activation = c.activation})(
          pixel_values);
  std::vector<Value> all = {x};
  for (std::size_t i = 0; i < c.stages.size() && static_cast<std::int64_t>(i) < last; ++i) {
    const Scope stage = s / fmt::format("s{}", i + 1);
    for (std::int64_t j = 0; j < c.stages[i].depth; ++j) {
      x = run_block(stage / fmt::format("b{}", j + 1), c, c.stages[i], in, j == 0 ? 2 : 1, x);
      in = c.stages[i].width;
    }
    all.push_back(x);
  }
  return all;
}

TimmOutputs run(const Scope& s, const TimmConfig& timm, Value pixel_values) {
  const Config c(timm);
  Value x = run_stages(s, timm, c, pixel_values, TimmFamily::kAll).back();
  std::int64_t width = c.stages.back().width;
  if (c.top > 0) {
    x = layer(s / "final_conv", {.in = width, .out = c.top, .activation = c.activation})(x);
    width = c.top;
  }
  return {x, classify_image(s / "head" / "fc", timm, x, width)};
}

std::vector<Value> stages(const Scope& s, const TimmConfig& timm, Value pixel_values, std::int64_t last) {
  return run_stages(s, timm, Config(timm), pixel_values, last);
}

}  // namespace

void register_timm_regnet(TasksManager& tasks) {
  tasks.register_model<TimmOnnxConfig>(timm_definition(
      {.name = "regnet", .architectures = architectures_of(architectures()), .run = run, .stages = stages}));
}

}  // namespace onnxport::models
