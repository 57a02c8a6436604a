// The autoencoder of latent diffusion: images to the means and variances of latents, and latents to images.
// Original:
// https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/autoencoders/autoencoder_kl.py
#include <fmt/format.h>

#include "models/diffusion/common/autoencoder_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/unet.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-6;  // of all norms, not configurable

constexpr const char* kDefaults = R"({
  "in_channels": 3, "out_channels": 3, "down_block_types": ["DownEncoderBlock2D"],
  "up_block_types": ["UpDecoderBlock2D"], "block_out_channels": [64], "layers_per_block": 1, "act_fn": "silu",
  "latent_channels": 4, "norm_num_groups": 32, "sample_size": 32, "scaling_factor": 0.18215,
  "shift_factor": null, "latents_mean": null, "latents_std": null, "force_upcast": true,
  "use_quant_conv": true, "use_post_quant_conv": true, "mid_block_add_attention": true})";

struct Config {
  std::int64_t in_channels, out_channels, latent_channels, layers, groups;
  std::vector<std::int64_t> widths;
  std::string activation;
  bool quant_conv, post_quant_conv, attention;

  explicit Config(const PretrainedConfig& c)
      : in_channels(divisor(c, "in_channels")),
        out_channels(divisor(c, "out_channels")),
        latent_channels(divisor(c, "latent_channels")),
        layers(divisor(c, "layers_per_block")),
        groups(divisor(c, "norm_num_groups")),
        widths(c.integers("block_out_channels")),
        activation(c.string("act_fn")),
        quant_conv(c.flag("use_quant_conv")),
        post_quant_conv(c.flag("use_post_quant_conv")),
        attention(c.flag("mid_block_add_attention")) {
    check_blocks(c, "down_block_types", "DownEncoderBlock2D");
    check_blocks(c, "up_block_types", "UpDecoderBlock2D");
    for (const std::int64_t width : widths) {
      if (width < 1 || width % groups != 0) {
        throw ExportError(ErrorCode::bad_config,
                          fmt::format("{}: block_out_channels has {}, expected positive multiples of "
                                      "norm_num_groups, which is {}",
                                      c.origin(), width, groups));
      }
    }
    // Callers scale the latents. The size is that of the training images.
    c.harmless(
        {"scaling_factor", "shift_factor", "latents_mean", "latents_std", "sample_size", "force_upcast"});
  }

  nn::ResnetBlock2dParameters block(std::int64_t in, std::int64_t out) const {
    return {.in = in, .out = out, .groups = groups, .eps = kEps, .activation = activation};
  }

 private:
  void check_blocks(const PretrainedConfig& c, const char* key, const std::string& known) const {
    const std::vector<std::string> kinds = c.strings(key);
    if (kinds.empty() || kinds.size() != widths.size()) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: {} has {} blocks and block_out_channels {}, expected one width per "
                                    "block",
                                    c.origin(), key, kinds.size(), widths.size()));
    }
    for (const std::string& kind : kinds) {
      if (kind != known) {
        throw ExportError(ErrorCode::unsupported,
                          fmt::format("{}: {} has '{}', supported is '{}'", c.origin(), key, kind, known));
      }
    }
  }
};

// Two residual blocks with attention between them.
Value run_middle(const Scope& s, const Config& c, Value x) {
  const std::int64_t width = c.widths.back();
  x = nn::ResnetBlock2d(s / "resnets" / 0, c.block(width, width))(x);
  if (c.attention) x = nn::PixelAttention(s / "attentions" / 0, width, c.groups, kEps)(x);
  return nn::ResnetBlock2d(s / "resnets" / 1, c.block(width, width))(x);
}

Value finish(const Scope& s, const Config& c, std::int64_t width, std::int64_t out, Value x) {
  x = op::silu(nn::GroupNorm(s / "conv_norm_out", c.groups, width, kEps)(x));
  return nn::Conv2d(s / "conv_out", width, out, {3, 3}, true, {.padding = {1, 1}})(x);
}

// image [B, in_channels, H, W] -> means and logarithms of variances [B, 2 latent_channels, H', W']
Value encode(const Scope& root, const Config& c, Value x) {
  const Scope s = root / "encoder";
  std::int64_t width = c.widths.front();
  x = nn::Conv2d(s / "conv_in", c.in_channels, width, {3, 3}, true, {.padding = {1, 1}})(x);
  for (std::size_t i = 0; i < c.widths.size(); ++i) {
    const Scope block = s / "down_blocks" / static_cast<std::int64_t>(i);
    for (std::int64_t j = 0; j < c.layers; ++j) {
      x = nn::ResnetBlock2d(block / "resnets" / j, c.block(width, c.widths[i]))(x);
      width = c.widths[i];
    }
    if (i + 1 < c.widths.size()) x = nn::Downsample2d(block / "downsamplers" / 0, width, 0)(x);
  }
  x = run_middle(s / "mid_block", c, x);
  const std::int64_t parameters = 2 * c.latent_channels;
  x = finish(s, c, width, parameters, x);
  return c.quant_conv ? nn::Conv2d(root / "quant_conv", parameters, parameters, {1, 1})(x) : x;
}

// latents [B, latent_channels, H, W] -> image [B, out_channels, H', W']
Value decode(const Scope& root, const Config& c, Value x) {
  const Scope s = root / "decoder";
  const std::int64_t latents = c.latent_channels;
  if (c.post_quant_conv) x = nn::Conv2d(root / "post_quant_conv", latents, latents, {1, 1})(x);
  std::int64_t width = c.widths.back();
  x = nn::Conv2d(s / "conv_in", latents, width, {3, 3}, true, {.padding = {1, 1}})(x);
  x = run_middle(s / "mid_block", c, x);
  for (std::size_t i = 0; i < c.widths.size(); ++i) {
    const Scope block = s / "up_blocks" / static_cast<std::int64_t>(i);
    const std::int64_t out = c.widths[c.widths.size() - 1 - i];
    for (std::int64_t j = 0; j < c.layers + 1; ++j) {
      x = nn::ResnetBlock2d(block / "resnets" / j, c.block(width, out))(x);
      width = out;
    }
    if (i + 1 < c.widths.size())
      x = nn::Upsample2d(block / "upsamplers" / 0, width)(x, x.dim(2) * 2, x.dim(3) * 2);
  }
  return finish(s, c, width, c.out_channels, x);
}

}  // namespace

void register_autoencoder_kl(TasksManager& tasks) {
  register_autoencoder(tasks, component_definition("autoencoder-kl", {"AutoencoderKL"}, kDefaults),
                       {.levels = "block_out_channels", .encoded = "latent_parameters"}, encode, decode);
}

}  // namespace onnxport::models
