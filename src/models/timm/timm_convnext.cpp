// ConvNeXt and ConvNeXt V2. Original:
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/convnext.py
#include <fmt/format.h>

#include <map>
#include <optional>

#include "models/timm/common/family.h"
#include "models/vision/common/stages.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/response_norm.h"

namespace onnxport::models {
namespace {

using Sizes = std::vector<std::int64_t>;

struct ConvNext {
  Sizes depths, widths;
  double eps = 1e-6;
  std::string stem = "patch";
  std::int64_t head_width = 0;  // of a layer before the last one; 0: none
  Sizes kernels = {7};          // per stage; one for all
  std::string activation = "gelu";
  bool head_norm_first = false;
  bool response_norm = false;  // V2: instead of learned scales
};

Sizes widths(std::int64_t first) { return {first, 2 * first, 4 * first, 8 * first}; }

const std::map<std::string, ConvNext, std::less<>>& architectures() {
  static const auto entries = [] {
    const Sizes flat = {2, 2, 6, 2}, nano = {2, 2, 8, 2}, tiny = {3, 3, 9, 3}, deep = {3, 3, 27, 3};
    std::map<std::string, ConvNext, std::less<>> all = {
        {"convnext_atto", {flat, widths(40)}},    {"convnext_femto", {flat, widths(48)}},
        {"convnext_pico", {flat, widths(64)}},    {"convnext_nano", {nano, widths(80)}},
        {"convnext_tiny", {tiny, widths(96)}},    {"convnext_small", {deep, widths(96)}},
        {"convnext_base", {deep, widths(128)}},   {"convnext_large", {deep, widths(192)}},
        {"convnextv2_huge", {deep, widths(352)}},
    };
    for (const char* size : {"atto", "femto", "pico", "nano", "tiny", "small", "base", "large"})
      all[fmt::format("convnextv2_{}", size)] = all[fmt::format("convnext_{}", size)];
    for (auto& [name, a] : all) a.response_norm = name.starts_with("convnextv2");
    for (const char* size : {"atto", "femto", "pico"}) {
      ConvNext overlapping = all[fmt::format("convnext_{}", size)];
      overlapping.stem = "overlap_tiered";
      all[fmt::format("convnext_{}_ols", size)] = overlapping;
    }
    all["convnext_nano_ols"] = {nano, widths(80), 1e-6, "overlap"};
    all["convnext_large_mlp"] = {deep, widths(192), 1e-6, "patch", 1536};
    all["convnext_xlarge"] = {deep, widths(256)};
    all["convnext_xxlarge"] = {{3, 4, 30, 3}, widths(384), 1e-5};
    all["convnext_tiny_hnf"] = all["convnext_tiny"];
    all["convnext_tiny_hnf"].head_norm_first = true;
    return all;
  }();
  return entries;
}

struct Config : ConvNext {
  std::int64_t patch;
  double mlp_ratio = 4;
  bool layer_scale, conv_bias;

  explicit Config(const TimmConfig& c) : ConvNext(architecture_in(architectures(), c)) {
    depths = c.integers("depths", depths);
    widths = c.sizes("dims", widths, 4);
    kernels = c.sizes("kernel_sizes", kernels, 4);
    eps = c.real("norm_eps", eps);
    stem = c.string("stem_type", stem);
    patch = c.positive("patch_size", 4);
    head_width = c.integer("head_hidden_size", head_width);
    head_norm_first = c.flag("head_norm_first", head_norm_first);
    response_norm = c.flag("use_grn", response_norm);
    layer_scale = c.real("ls_init_value", response_norm ? -1 : 1) >= 0;
    conv_bias = c.flag("conv_bias", true);
    activation = c.string("act_layer", activation);
    c.harmless({"conv_mlp"});  // how the weights of the feed-forward networks are stored
    const std::string norm = c.string("norm_layer", "layernorm");
    if (norm != "layernorm" && norm != "layernorm2d")
      c.refuse(fmt::format("model_args.norm_layer is '{}', expected layernorm", norm));
    if (const std::int64_t stride = c.integer("output_stride", 32); stride != 32)
      c.refuse(fmt::format("model_args.output_stride is {}, expected 32", stride));
    if (depths.size() != 4 || head_width < 0 || (head_width > 0 && head_norm_first)) {
      c.fail(
          fmt::format("model_args.depths has {} numbers, expected 4; head_hidden_size is {}, expected no "
                      "negative number, and 0 with head_norm_first",
                      depths.size(), head_width));
    }
  }
};

Value channels_last(Value image) { return op::permute(image, {0, 2, 3, 1}); }
Value channels_first(Value image) { return op::permute(image, {0, 3, 1, 2}); }

Value norm_channels(const Scope& s, std::int64_t width, double eps, Value image) {
  return channels_first(nn::LayerNorm(s, width, eps)(channels_last(image)));
}

// A layer that is stored as a matrix or as a 1x1 convolution.
nn::Linear pointwise(const Scope& s, std::int64_t in, std::int64_t out) {
  const auto stored = s.shape_of("weight");
  const bool convolution = stored && stored->size() == 4;
  const Weight weight =
      convolution ? s.weight("weight", {out, in, 1, 1}).reshape({out, in}) : s.weight("weight", {out, in});
  return {s.path(), weight, s.weight("bias", {out})};
}

Value run_block(const Scope& s, const Config& c, std::size_t stage, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.widths[stage], kernel = c.kernels[stage];
  const std::int64_t inner = 4 * width, around = (kernel - 1) / 2;
  const nn::Conv2d depthwise(s / "conv_dw", width, width, {kernel, kernel}, c.conv_bias,
                             {.padding = {around, around}, .groups = width});
  const Scope mlp = s / "mlp", norm = mlp / "grn";
  Value y = nn::LayerNorm(s / "norm", width, c.eps)(channels_last(depthwise(x)));
  y = timm_activation(c.activation)(pointwise(mlp / "fc1", width, inner)(y));
  if (c.response_norm)
    y = nn::global_response_norm(y, norm.weight("weight", {inner}), norm.weight("bias", {inner}));
  y = pointwise(mlp / "fc2", inner, width)(y);
  if (c.layer_scale) y = op::mul(y, y.graph().weight(s.weight("gamma", {width})));
  return op::add(x, channels_first(y));
}

Value run_stem(const Scope& s, const TimmConfig& timm, const Config& c, Value x) {
  const std::int64_t width = c.widths[0];
  if (c.stem == "patch") {
    const nn::Conv2d patches(s / 0, timm.num_channels(), width, {c.patch, c.patch}, c.conv_bias,
                             {.stride = {c.patch, c.patch}});
    return norm_channels(s / 1, width, c.eps, patches(x));
  }
  const bool tiered = c.stem == "overlap_tiered", activates = c.stem == "overlap_act";
  if (!tiered && !activates && c.stem != "overlap") timm.fail(fmt::format("stem_type is '{}'", c.stem));
  const std::int64_t half = width / 2;
  const std::int64_t middle = tiered ? round_channels(static_cast<double>(half), 8, 8) : width;
  const op::ConvOptions halve = {.stride = {2, 2}, .padding = {1, 1}};
  x = nn::Conv2d(s / 0, timm.num_channels(), middle, {3, 3}, c.conv_bias, halve)(x);
  if (activates) x = timm_activation(c.activation)(x);
  const std::int64_t next = activates ? 2 : 1;
  x = nn::Conv2d(s / next, middle, width, {3, 3}, c.conv_bias, halve)(x);
  return norm_channels(s / (next + 1), width, c.eps, x);
}

// The results of the stages up to number `last`.
std::vector<Value> run_stages(const Scope& s, const TimmConfig& timm, const Config& c, Value pixel_values,
                              std::int64_t last) {
  Value x = run_stem(s / "stem", timm, c, pixel_values);
  std::vector<Value> all;
  for (std::size_t i = 0; i < c.depths.size() && static_cast<std::int64_t>(i) <= last; ++i) {
    const Scope stage = s / "stages" / static_cast<std::int64_t>(i);
    const std::int64_t before = c.widths[i == 0 ? 0 : i - 1];
    // A first stage that follows patches of two pixels halves the image, too.
    const std::int64_t stride = i > 0 || (c.stem == "patch" && c.patch == 2) ? 2 : 1;
    if (stride > 1) {
      const nn::Conv2d halve(stage / "downsample" / 1, before, c.widths[i], {2, 2}, c.conv_bias,
                             {.stride = {2, 2}});
      x = halve(norm_channels(stage / "downsample" / 0, before, c.eps, x));
    }
    for (std::int64_t j = 0; j < c.depths[i]; ++j) x = run_block(stage / "blocks" / j, c, i, x);
    all.push_back(x);
  }
  return all;
}

TimmOutputs run(const Scope& s, const TimmConfig& timm, Value pixel_values) {
  const Config c(timm);
  Value x = run_stages(s, timm, c, pixel_values, TimmFamily::kAll).back();
  const std::int64_t width = c.widths.back();
  const Scope head = s / "head";
  if (c.head_norm_first) {
    x = norm_channels(s / "norm_pre", width, c.eps, x);
    return {x, classify_image(head / "fc", timm, x, width)};
  }
  Value pooled = pool_image(x, timm.global_pool());
  pooled = nn::LayerNorm(head / "norm", width, c.eps)(pooled);
  if (c.head_width == 0) return {x, classify(head / "fc", timm, pooled, width)};
  pooled = op::gelu(nn::Linear(head / "pre_logits" / "fc", width, c.head_width)(pooled));
  return {x, classify(head / "fc", timm, pooled, c.head_width)};
}

std::vector<Value> stages(const Scope& s, const TimmConfig& timm, Value pixel_values, std::int64_t last) {
  return run_stages(s, timm, Config(timm), pixel_values, last);
}

}  // namespace

void register_timm_convnext(TasksManager& tasks) {
  tasks.register_model<TimmOnnxConfig>(
      timm_definition({.name = "convnext",
                       .architectures = architectures_of(architectures()),
                       .run = run,
                       .stages = stages,
                       .key_names = {.newer = {{"stem.", "stem_"}, {"stages.", "stages_"}}}}));
}

}  // namespace onnxport::models
