// The autoencoder of Sana: deep compression by blocks of convolutions and of linear attention, with shortcuts
// that rearrange pixels and channels. Original:
// https://github.com/huggingface/diffusers/blob/v0.42.1/src/diffusers/models/autoencoders/autoencoder_dc.py
#include <fmt/format.h>

#include <algorithm>

#include "models/diffusion/common/autoencoder_config.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/linear_attention.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr const char* kDefaults = R"({
  "in_channels": 3, "latent_channels": 32, "attention_head_dim": 32, "encoder_block_types": "ResBlock",
  "decoder_block_types": "ResBlock", "encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024],
  "decoder_block_out_channels": [128, 256, 512, 512, 1024, 1024],
  "encoder_layers_per_block": [2, 2, 2, 3, 3, 3], "decoder_layers_per_block": [3, 3, 3, 3, 3, 3],
  "encoder_qkv_multiscales": [[], [], [], [5], [5], [5]],
  "decoder_qkv_multiscales": [[], [], [], [5], [5], [5]], "upsample_block_type": "pixel_shuffle",
  "downsample_block_type": "pixel_unshuffle", "decoder_norm_types": "rms_norm", "decoder_act_fns": "silu",
  "encoder_out_shortcut": true, "decoder_in_shortcut": true, "decoder_conv_act_fn": "relu",
  "scaling_factor": 1.0})";

constexpr std::int64_t kFactor = 2;  // between the extents of neighbouring levels
constexpr std::int64_t kSquare = kFactor * kFactor;
constexpr std::int64_t kWider = 4;  // inner channels of gated convolutions, for each channel of the image

// One level of the encoder or the decoder.
struct Level {
  std::int64_t width = 0, layers = 0;
  bool attends = false;
  std::vector<std::int64_t> kernels;
  std::string norm = "rms_norm", activation = "silu";
};

// The value for each level; a single one counts for all.
std::vector<std::string> per_level(const PretrainedConfig& c, const std::string& key, std::size_t levels,
                                   const std::vector<std::string>& known) {
  std::vector<std::string> values = c.strings(key);
  if (values.size() == 1) values.resize(levels, values.front());
  if (values.size() != levels) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} has {} entries, expected {}", c.origin(),
                                                         key, values.size(), levels));
  }
  for (const std::string& value : values) {
    if (!known.empty() && std::find(known.begin(), known.end(), value) == known.end()) {
      throw ExportError(ErrorCode::unsupported, fmt::format("{}: {} has '{}', supported are {} and {}",
                                                            c.origin(), key, value, known[0], known[1]));
    }
  }
  return values;
}

bool chosen(const PretrainedConfig& c, const char* key, const char* yes, const char* no) {
  const std::string value = c.string(key);
  if (value == yes || value == no) return value == yes;
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("{}: {} is '{}', supported are {} and {}", c.origin(), key, value, yes, no));
}

struct Config {
  std::int64_t channels, latents, head_dim;
  std::vector<Level> encoder, decoder;
  std::string last_activation;
  bool unshuffles, interpolates, encoder_shortcut, decoder_shortcut;

  explicit Config(const PretrainedConfig& c)
      : channels(divisor(c, "in_channels")),
        latents(divisor(c, "latent_channels")),
        head_dim(divisor(c, "attention_head_dim")),
        encoder(levels(c, "encoder")),
        decoder(levels(c, "decoder")),
        last_activation(c.string("decoder_conv_act_fn")),
        // The original takes any other name for a convolution with a stride.
        unshuffles(c.string("downsample_block_type") == "pixel_unshuffle"),
        interpolates(chosen(c, "upsample_block_type", "interpolate", "pixel_shuffle")),
        encoder_shortcut(c.flag("encoder_out_shortcut")),
        decoder_shortcut(c.flag("decoder_in_shortcut")) {
    const auto norms = per_level(c, "decoder_norm_types", decoder.size(), {"rms_norm", "batch_norm"});
    const auto activations = per_level(c, "decoder_act_fns", decoder.size(), {});
    for (std::size_t i = 0; i < decoder.size(); ++i) {
      decoder[i].norm = norms[i];
      decoder[i].activation = activations[i];
    }
    if (encoder.size() != decoder.size()) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: decoder_block_out_channels has {} widths, expected {}, as many as "
                                    "encoder_block_out_channels",
                                    c.origin(), decoder.size(), encoder.size()));
    }
    check(c, encoder_shortcut, "encoder_block_out_channels", encoder.back().width, latents);
    check(c, decoder_shortcut, "decoder_block_out_channels", decoder.back().width, latents);
    for (std::size_t i = 0; i + 1 < encoder.size(); ++i) {
      check(c, encoder[i].layers > 0, "encoder_block_out_channels", encoder[i].width * kSquare,
            encoder[i + 1].width);
      check(c, decoder[i].layers > 0, "decoder_block_out_channels", decoder[i].width * kSquare,
            decoder[i + 1].width);
    }
    c.harmless({"scaling_factor"});  // callers scale the latents
  }

 private:
  static void check(const PretrainedConfig& c, bool needed, const char* key, std::int64_t many,
                    std::int64_t few) {
    if (!needed || many % few == 0) return;
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {}: a shortcut takes {} channels for {}, expected a multiple",
                                  c.origin(), key, many, few));
  }

  std::vector<Level> levels(const PretrainedConfig& c, const std::string& half) const {
    const std::vector<std::int64_t> widths = c.integers(half + "_block_out_channels");
    const std::vector<std::int64_t> layers = c.integers(half + "_layers_per_block");
    const auto kernels = c.integer_lists(half + "_qkv_multiscales");
    if (widths.size() < 2 || layers.size() != widths.size() || kernels.size() != widths.size()) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: {}_block_out_channels, {}_layers_per_block and {}_qkv_multiscales have {}, {} and "
                      "{} entries, expected as many of each, and at least 2",
                      c.origin(), half, half, half, widths.size(), layers.size(), kernels.size()));
    }
    const auto kinds = per_level(c, half + "_block_types", widths.size(), {"ResBlock", "EfficientViTBlock"});
    std::vector<Level> all;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const bool attends = kinds[i] != "ResBlock";
      const bool odd = std::all_of(kernels[i].begin(), kernels[i].end(),
                                   [](std::int64_t size) { return size >= 1 && size % 2 == 1; });
      if (widths[i] < 1 || (attends && widths[i] < head_dim) || !odd || layers[i] < (i == 0 ? 0 : 1)) {
        throw ExportError(
            ErrorCode::bad_config,
            fmt::format("{}: {} {}: expected a width that has a head of {}, odd kernels, and a layer in each "
                        "level but the first",
                        c.origin(), half, i, head_dim));
      }
      all.push_back({widths[i], layers[i], attends, kernels[i]});
    }
    return all;
  }
};

nn::Conv2d conv3x3(const Scope& s, std::int64_t in, std::int64_t out, bool bias = true,
                   std::int64_t stride = 1) {
  return {s, in, out, {3, 3}, bias, {.stride = {stride, stride}, .padding = {1, 1}}};
}

// Each channel `times` times, side by side.
Value repeated(Value x, std::int64_t times) {
  const Dim &batch = x.dim(0), &channels = x.dim(1), &rows = x.dim(2), &columns = x.dim(3);
  const Value apart = op::expand(op::unsqueeze(x, 2), {batch, channels, times, rows, columns});
  return op::reshape(apart, {batch, channels * times, rows, columns});
}

// The means of groups of neighbouring channels.
Value averaged(Value x, std::int64_t group) {
  const Dim channels = x.dim(1).floor_div(group);
  return op::mean(op::reshape(x, {x.dim(0), channels, group, x.dim(2), x.dim(3)}), 2);
}

Value downsample(const Scope& s, const Config& c, std::int64_t in, std::int64_t out, bool shortcut, Value x) {
  const ModulePath at(x, s.path());
  const Value y = c.unshuffles ? nn::pixel_unshuffle(conv3x3(s / "conv", in, out / kSquare)(x), kFactor)
                               : conv3x3(s / "conv", in, out, true, kFactor)(x);
  return shortcut ? op::add(y, averaged(nn::pixel_unshuffle(x, kFactor), in * kSquare / out)) : y;
}

Value upsample(const Scope& s, const Config& c, std::int64_t in, std::int64_t out, bool shortcut, Value x) {
  const ModulePath at(x, s.path());
  Value y;
  if (c.interpolates) {
    const Value larger = op::interpolate(x, {x.dim(2) * kFactor, x.dim(3) * kFactor}, "nearest");
    y = conv3x3(s / "conv", in, out)(larger);
  } else {
    y = nn::pixel_shuffle(conv3x3(s / "conv", in, out * kSquare)(x), kFactor);
  }
  return shortcut ? op::add(y, nn::pixel_shuffle(repeated(x, out * kSquare / in), kFactor)) : y;
}

Value normed(const Scope& s, const Level& level, Value x) {
  if (level.norm == "batch_norm") return nn::BatchNorm2d(s, level.width)(x);
  return nn::ChannelRmsNorm(s, level.width)(x);
}

Value run_block(const Scope& s, const Config& c, const Level& level, Value x) {
  const ModulePath at(x, s.path());
  if (!level.attends) {
    const Value inner = nn::Activation(level.activation)(conv3x3(s / "conv1", level.width, level.width)(x));
    return op::add(normed(s / "norm", level, conv3x3(s / "conv2", level.width, level.width, false)(inner)),
                   x);
  }
  const Scope attention = s / "attn", gated = s / "conv_out";
  const nn::MultiscaleLinearAttention attend(
      attention, {.channels = level.width, .head_dim = c.head_dim, .kernels = level.kernels});
  const Value sum = op::add(normed(attention / "norm_out", level, attend(x)), x);
  const nn::GatedConv feed_forward(gated, {.channels = level.width, .inner = kWider * level.width});
  return op::add(nn::ChannelRmsNorm(gated / "norm", level.width)(feed_forward(sum)), sum);
}

// image [B, channels, H, W] -> latents [B, latents, H', W']
Value encode(const Scope& root, const Config& c, Value image) {
  const Scope s = root / "encoder", in = s / "conv_in";
  const std::int64_t step = std::int64_t{1} << (c.encoder.size() - 1);
  const Dim rows = image.dim(2).floor_div(step), columns = image.dim(3).floor_div(step);
  Value x = op::slice(op::slice(image, 2, 0, rows * step), 3, 0, columns * step);
  x = c.encoder.front().layers > 0 ? conv3x3(in, c.channels, c.encoder.front().width)(x)
                                   : downsample(in, c, c.channels, c.encoder[1].width, false, x);
  for (std::size_t i = 0; i < c.encoder.size(); ++i) {
    const Scope blocks = s / "down_blocks" / static_cast<std::int64_t>(i);
    const Level& level = c.encoder[i];
    for (std::int64_t j = 0; j < level.layers; ++j) x = run_block(blocks / j, c, level, x);
    if (i + 1 < c.encoder.size() && level.layers > 0)
      x = downsample(blocks / level.layers, c, level.width, c.encoder[i + 1].width, true, x);
  }
  const std::int64_t width = c.encoder.back().width;
  const Value latents = conv3x3(s / "conv_out", width, c.latents)(x);
  return c.encoder_shortcut ? op::add(latents, averaged(x, width / c.latents)) : latents;
}

// latents [B, latents, H, W] -> image [B, channels, H', W']
Value decode(const Scope& root, const Config& c, Value latents) {
  const Scope s = root / "decoder";
  const std::int64_t last = c.decoder.back().width;
  Value x = conv3x3(s / "conv_in", c.latents, last)(latents);
  if (c.decoder_shortcut) x = op::add(x, repeated(latents, last / c.latents));
  for (std::size_t i = c.decoder.size(); i-- > 0;) {
    const Scope blocks = s / "up_blocks" / static_cast<std::int64_t>(i);
    const Level& level = c.decoder[i];
    std::int64_t before = 0;
    if (i + 1 < c.decoder.size() && level.layers > 0)
      x = upsample(blocks / before++, c, c.decoder[i + 1].width, level.width, true, x);
    for (std::int64_t j = 0; j < level.layers; ++j) x = run_block(blocks / (before + j), c, level, x);
  }
  const bool whole = c.decoder.front().layers > 0;
  const std::int64_t width = c.decoder[whole ? 0 : 1].width;
  x = nn::Activation(c.last_activation)(nn::ChannelRmsNorm(s / "norm_out", width)(x));
  const Scope out = s / "conv_out";
  return whole ? conv3x3(out, width, c.channels)(x) : upsample(out, c, width, c.channels, false, x);
}

}  // namespace

void register_autoencoder_dc(TasksManager& tasks) {
  register_autoencoder(tasks, component_definition("autoencoder-dc", {"AutoencoderDC"}, kDefaults),
                       {.levels = "encoder_block_out_channels", .encoded = "latent_sample"}, encode, decode);
}

}  // namespace onnxport::models
