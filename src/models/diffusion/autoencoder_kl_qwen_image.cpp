// The autoencoder of Qwen-Image, for one frame: of its convolutions in time, only the last elements are used.
// Original:
// https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/autoencoders/autoencoder_kl_qwenimage.py
#include <fmt/format.h>

#include <cmath>

#include "models/diffusion/common/autoencoder_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaults = R"({
  "base_dim": 96, "z_dim": 16, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_scales": [],
  "temperal_downsample": [false, true, true], "dropout": 0.0, "input_channels": 3, "latents_mean": null,
  "latents_std": null})";

struct Config {
  std::int64_t channels, latents, blocks, base;
  std::vector<std::int64_t> widths;  ///< of the levels

  explicit Config(const PretrainedConfig& c)
      : channels(divisor(c, "input_channels")),
        latents(divisor(c, "z_dim")),
        blocks(divisor(c, "num_res_blocks")),
        base(divisor(c, "base_dim")) {
    for (const std::int64_t factor : c.integers("dim_mult")) {
      if (factor < 1 || base * factor % 2 != 0) {
        throw ExportError(ErrorCode::bad_config,
                          fmt::format("{}: dim_mult has {}, expected a positive number whose product with "
                                      "base_dim, which is {}, is even",
                                      c.origin(), factor, base));
      }
      widths.push_back(base * factor);
    }
    if (widths.empty())
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: dim_mult is empty", c.origin()));
    if (!c.reals("attn_scales").empty()) {
      throw ExportError(
          ErrorCode::unsupported,
          fmt::format("{}: attn_scales, attention in the levels, is not supported", c.origin()));
    }
    // Settings of training and of several frames; callers scale the latents.
    c.harmless({"dropout", "temperal_downsample", "latents_mean", "latents_std"});
  }
};

// A convolution in time and space for one frame: zeros stand in front of it.
nn::Conv2d frame_conv(const Scope& s, std::int64_t in, std::int64_t out, std::int64_t kernel) {
  const Weight last = s.weight("weight", {out, in, kernel, kernel, kernel}).slice(2, kernel - 1, kernel);
  return {s.path(),
          last.reshape({out, in, kernel, kernel}),
          s.weight("bias", {out}),
          {.padding = {kernel / 2, kernel / 2}}};
}

// `axes`: those of the stored weight after the channels.
Value normed(const Scope& s, std::int64_t width, std::size_t axes, Value x) {
  const ModulePath at(x, s.path());
  std::vector<std::int64_t> stored(axes + 1, 1);
  stored[0] = width;
  const Value gamma = x.graph().weight(s.weight("gamma", stored).reshape({width, 1, 1}));
  const Value unit = op::cast(op::normalize(op::cast(x, DType::f32), 1), x.dtype());
  return op::mul(op::mul(unit, std::sqrt(static_cast<double>(width))), gamma);
}

Value run_block(const Scope& s, std::int64_t in, std::int64_t out, Value x) {
  const ModulePath at(x, s.path());
  Value y = frame_conv(s / "conv1", in, out, 3)(op::silu(normed(s / "norm1", in, 3, x)));
  y = frame_conv(s / "conv2", out, out, 3)(op::silu(normed(s / "norm2", out, 3, y)));
  return op::add(y, in == out ? x : frame_conv(s / "conv_shortcut", in, out, 1)(x));
}

// Attention among the pixels, with one head.
Value attend(const Scope& s, std::int64_t width, Value x) {
  const ModulePath at(x, s.path());
  const nn::Conv2d project(s / "to_qkv", width, 3 * width, {1, 1}), output(s / "proj", width, width, {1, 1});
  const auto parts = op::chunk(nn::image_to_tokens(project(normed(s / "norm", width, 2, x))), 2, 3);
  const Value attended = op::attention({.query = parts[0], .key = parts[1], .value = parts[2]}, 1, 1).output;
  return op::add(output(nn::tokens_to_image(attended, x.dim(2), x.dim(3))), x);
}

Value run_middle(const Scope& s, std::int64_t width, Value x) {
  x = run_block(s / "resnets" / 0, width, width, x);
  x = attend(s / "attentions" / 0, width, x);
  return run_block(s / "resnets" / 1, width, width, x);
}

Value finish(const Scope& s, std::int64_t width, std::int64_t out, Value x) {
  return frame_conv(s / "conv_out", width, out, 3)(op::silu(normed(s / "norm_out", width, 3, x)));
}

// image [B, channels, H, W] -> means and logarithms of variances [B, 2 latents, H', W']
Value encode(const Scope& root, const Config& c, Value x) {
  const Scope s = root / "encoder", blocks = s / "down_blocks";
  std::int64_t width = c.base, number = 0;
  x = frame_conv(s / "conv_in", c.channels, width, 3)(x);
  for (std::size_t level = 0; level < c.widths.size(); ++level) {
    for (std::int64_t i = 0; i < c.blocks; ++i) {
      x = run_block(blocks / number++, width, c.widths[level], x);
      width = c.widths[level];
    }
    if (level + 1 == c.widths.size()) continue;
    const Scope sampler = blocks / number++;
    sampler.ignore("time_conv");  // for further frames
    const nn::Conv2d smaller(sampler / "resample.1", width, width, {3, 3}, true,
                             {.stride = {2, 2}, .padding = {0, 0, 1, 1}});
    x = smaller(x);
  }
  x = run_middle(s / "mid_block", width, x);
  const std::int64_t parameters = 2 * c.latents;
  return frame_conv(root / "quant_conv", parameters, parameters, 1)(finish(s, width, parameters, x));
}

// latents [B, latents, H, W] -> image [B, channels, H', W']
Value decode(const Scope& root, const Config& c, Value x) {
  const Scope s = root / "decoder";
  std::int64_t width = c.widths.back();
  x = frame_conv(root / "post_quant_conv", c.latents, c.latents, 1)(x);
  x = run_middle(s / "mid_block", width, frame_conv(s / "conv_in", c.latents, width, 3)(x));
  for (std::size_t i = 0; i < c.widths.size(); ++i) {
    const Scope block = s / "up_blocks" / static_cast<std::int64_t>(i);
    const std::int64_t out = c.widths[c.widths.size() - 1 - i];
    for (std::int64_t j = 0; j < c.blocks + 1; ++j) {
      x = run_block(block / "resnets" / j, width, out, x);
      width = out;
    }
    if (i + 1 == c.widths.size()) continue;
    const Scope sampler = block / "upsamplers" / 0;
    sampler.ignore("time_conv");  // for further frames
    const nn::Conv2d project(sampler / "resample.1", width, width / 2, {3, 3}, true, {.padding = {1, 1}});
    x = project(op::interpolate(x, {x.dim(2) * 2, x.dim(3) * 2}, "nearest"));
    width /= 2;
  }
  return op::clamp(finish(s, width, c.channels, x), -1, 1);  // the range of colours
}

}  // namespace

void register_autoencoder_kl_qwen_image(TasksManager& tasks) {
  register_autoencoder(
      tasks, component_definition("autoencoder-kl-qwen-image", {"AutoencoderKLQwenImage"}, kDefaults),
      {.image_channels = "input_channels",
       .latent_channels = "z_dim",
       .levels = "dim_mult",
       .encoded = "latent_parameters"},
      encode, decode);
}

}  // namespace onnxport::models
