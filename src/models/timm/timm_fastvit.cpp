// FastViT, and the image towers of MobileCLIP and FastVLM, as they run: each branched layer of training is
// one convolution. Original:
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/fastvit.py
#include <fmt/format.h>

#include <map>

#include "models/timm/common/family.h"
#include "models/timm/common/tokens.h"
#include "models/vision/common/stages.h"
#include "onnxport/nn/conv_layer.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

using Sizes = std::vector<std::int64_t>;

constexpr std::int64_t kHeadWidth = 32;

struct FastVit {
  Sizes layers, widths;
  std::int64_t mlp_ratio = 4;
  std::int64_t attends = 0;                      // so many stages, from the end
  bool gated_from_third = false, tower = false;  // of squeeze-and-excite; MobileCLIP's way of halving images
  bool layer_norm = false;
};

const std::map<std::string, FastVit, std::less<>>& architectures() {
  static const Sizes usual = {64, 128, 256, 512};
  static const std::map<std::string, FastVit, std::less<>> entries = {
      {"fastvit_t8", {{2, 2, 4, 2}, {48, 96, 192, 384}, 3}},
      {"fastvit_t12", {{2, 2, 6, 2}, usual, 3}},
      {"fastvit_s12", {{2, 2, 6, 2}, usual}},
      {"fastvit_sa12", {{2, 2, 6, 2}, usual, 4, 1}},
      {"fastvit_sa24", {{4, 4, 12, 4}, usual, 4, 1}},
      {"fastvit_sa36", {{6, 6, 18, 6}, usual, 4, 1}},
      {"fastvit_ma36", {{6, 6, 18, 6}, {76, 152, 304, 608}, 4, 1}},
      {"fastvit_mci0", {{2, 6, 10, 2}, usual, 3, 1, true, true}},
      {"fastvit_mci1", {{4, 12, 20, 4}, usual, 3, 1, true, true}},
      {"fastvit_mci2", {{4, 12, 24, 4}, {80, 160, 320, 640}, 3, 1, true, true}},
      {"fastvit_mci3", {{2, 12, 24, 4, 2}, {96, 192, 384, 768, 1536}, 4, 2, false, true, true}},
      {"fastvit_mci4", {{2, 12, 24, 4, 4}, {128, 256, 512, 1024, 2048}, 4, 2, false, true, true}},
  };
  return entries;
}

struct Config : FastVit {
  std::int64_t last_width;  ///< of the features

  explicit Config(const TimmConfig& c) : FastVit(architecture_in(architectures(), c)) {
    layers = c.sizes("layers", layers, layers.size());
    widths = c.sizes("embed_dims", widths, widths.size());
    last_width = static_cast<std::int64_t>(static_cast<double>(widths.back()) * c.real("cls_ratio", 2));
    if (!c.flag("inference_mode", false))
      c.refuse("FastViT with the branches of training, expected model_args.inference_mode true");
    c.harmless({"layer_scale_init_value", "stem_use_scale_branch"});
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (attention_in(i) && widths[i] % kHeadWidth != 0)
        c.fail(fmt::format("stage {} is {} wide, expected a multiple of {}, the width of a head", i,
                           widths[i], kHeadWidth));
    }
    if (last_width < 1 || last_width % widths.back() != 0)
      c.fail(fmt::format("the features are {} wide, expected a multiple of {}", last_width, widths.back()));
  }

  bool attention_in(std::size_t stage) const {
    return static_cast<std::int64_t>(stage) + attends >= std::ssize(layers);
  }
};

// A convolution of `groups` that keeps its image's size, or divides it by the stride.
Value convolved(const Scope& s, Value x, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                std::int64_t groups) {
  const nn::Conv2d conv(s / "reparam_conv", *x.dim(1).constant(), out, {kernel, kernel}, true,
                        {.stride = {stride, stride}, .padding = {kernel / 2, kernel / 2}, .groups = groups});
  return conv(x);
}

Value excited(const Scope& s, Value x, std::int64_t reduced) {
  return nn::SqueezeExcite(
      s / "se", {.channels = *x.dim(1).constant(), .reduced = reduced, .reduce = "fc1", .expand = "fc2"})(x);
}

Value run_stem(const Scope& s, Value x, std::int64_t width) {
  x = op::gelu(convolved(s / 0, x, width, 3, 2, 1));
  x = op::gelu(convolved(s / 1, x, width, 3, 2, width));
  return op::gelu(convolved(s / 2, x, width, 1, 1, 1));
}

Value halved(const Scope& s, const Config& c, std::size_t stage, Value x) {
  const std::int64_t out = c.widths[stage];
  x = convolved(s / 0, x, out, 7, 2, *x.dim(1).constant());
  if (c.gated_from_third && stage >= 2)
    x = excited(s / 0, x, round_channels(static_cast<double>(out) / 4, 8, 8, 0));
  if (c.tower) x = op::gelu(x);
  return op::gelu(convolved(s / 1, x, out, 1, 1, 1));
}

Value feed_forward(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t width = *x.dim(1).constant(), inner = c.mlp_ratio * width;
  const nn::ConvLayer depthwise(
      s / "conv",
      {.in = width, .out = width, .kernel = 7, .groups = width, .convolution = "conv", .norm = "bn"});
  const nn::Conv2d up(s / "fc1", width, inner, {1, 1}), down(s / "fc2", inner, width, {1, 1});
  const Value wide = up(depthwise(x));
  return down(op::gelu(wide));
}

Value attention(const Scope& s, const Config& c, Value x) {
  const std::int64_t width = *x.dim(1).constant();
  const Scope norm = s / "norm";
  if (!c.layer_norm) x = nn::BatchNorm2d(norm, width)(x);
  Value tokens = nn::image_to_tokens(x);
  if (c.layer_norm) tokens = nn::LayerNorm(norm, width, 1e-5)(tokens);
  const FusedAttention attend = fused_attention(s / "token_mixer", width, width / kHeadWidth, false);
  return nn::tokens_to_image(attend(tokens), x.dim(2), x.dim(3));
}

// x and a branch times a factor for each channel.
Value with_branch(const Scope& scale, Value x, Value branch) {
  const Weight gamma = scale.weight("gamma", {*x.dim(1).constant(), 1, 1});
  return op::add(x, op::mul(branch, x.graph().weight(gamma)));
}

Value run_block(const Scope& s, const Config& c, Value x, bool attends) {
  const ModulePath at(x, s.path());
  if (attends) {
    x = with_branch(s / "layer_scale_1", x, attention(s, c, x));
    return with_branch(s / "layer_scale_2", x, feed_forward(s / "mlp", c, x));
  }
  x = convolved(s / "token_mixer", x, *x.dim(1).constant(), 3, 1, *x.dim(1).constant());
  return with_branch(s / "layer_scale", x, feed_forward(s / "mlp", c, x));
}

TimmOutputs run(const Scope& s, const TimmConfig& timm, Value pixel_values) {
  const Config c(timm);
  Value x = run_stem(s / "stem", pixel_values, c.widths[0]);
  for (std::size_t i = 0; i < c.layers.size(); ++i) {
    const Scope stage = s / "stages" / static_cast<std::int64_t>(i);
    const bool attends = c.attention_in(i);
    if (i > 0) x = halved(stage / "downsample" / "proj", c, i, x);
    if (attends) x = convolved(stage / "pos_emb", x, c.widths[i], 7, 1, c.widths[i]);
    for (std::int64_t j = 0; j < c.layers[i]; ++j) x = run_block(stage / "blocks" / j, c, x, attends);
  }
  const Scope last = s / "final_conv";
  x = convolved(last, x, c.last_width, 3, 1, c.widths.back());
  x = op::gelu(excited(last, x, round_channels(static_cast<double>(c.last_width) / 16, 1, 1, 0)));
  return {x, classify_image(s / "head" / "fc", timm, x, c.last_width)};
}

}  // namespace

void register_timm_fastvit(TasksManager& tasks) {
  tasks.register_model<TimmOnnxConfig>(
      timm_definition({.name = "fastvit", .architectures = architectures_of(architectures()), .run = run}));
}

}  // namespace onnxport::models
