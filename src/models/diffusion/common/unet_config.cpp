#include "models/diffusion/common/unet_config.h"

#include <fmt/format.h>

#include "onnxport/error.h"

namespace onnxport::models {

const char* const kUNetDefaults = R"({
  "sample_size": null, "in_channels": 4, "out_channels": 4, "center_input_sample": false,
  "flip_sin_to_cos": true, "freq_shift": 0,
  "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"],
  "mid_block_type": "UNetMidBlock2DCrossAttn",
  "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
  "only_cross_attention": false, "block_out_channels": [320, 640, 1280, 1280], "layers_per_block": 2,
  "downsample_padding": 1, "mid_block_scale_factor": 1, "dropout": 0.0, "act_fn": "silu",
  "norm_num_groups": 32, "norm_eps": 1e-05, "cross_attention_dim": 1280, "transformer_layers_per_block": 1,
  "reverse_transformer_layers_per_block": null, "encoder_hid_dim": null, "encoder_hid_dim_type": null,
  "attention_head_dim": 8, "num_attention_heads": null, "dual_cross_attention": false,
  "use_linear_projection": false, "class_embed_type": null, "addition_embed_type": null,
  "addition_time_embed_dim": null, "num_class_embeds": null, "upcast_attention": false,
  "resnet_time_scale_shift": "default", "resnet_skip_time_act": false, "resnet_out_scale_factor": 1.0,
  "time_embedding_type": "positional", "time_embedding_dim": null, "time_embedding_act_fn": null,
  "timestep_post_act": null, "time_cond_proj_dim": null, "conv_in_kernel": 3, "conv_out_kernel": 3,
  "projection_class_embeddings_input_dim": null, "attention_type": "default",
  "class_embeddings_concat": false, "mid_block_only_cross_attention": null, "cross_attention_norm": null,
  "addition_embed_type_num_heads": 64})";

SizeConditions::SizeConditions(const PretrainedConfig& c, std::int64_t projected)
    : count(c.flag("requires_aesthetics_score", false) ? 5 : 6),
      width(divisor(c, "addition_time_embed_dim")),
      text(projected - count * width) {
  if (text >= 1) return;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: projection_class_embeddings_input_dim is {}, expected more than {} times "
                  "addition_time_embed_dim, which is {}",
                  c.origin(), projected, count, width));
}

std::optional<SizeConditions> size_conditions(const PretrainedConfig& c) {
  const auto kind = c.maybe_string("addition_embed_type");
  if (!kind) return {};
  if (*kind == "text_time") return SizeConditions(c, divisor(c, "projection_class_embeddings_input_dim"));
  throw ExportError(
      ErrorCode::unsupported,
      fmt::format("{}: addition_embed_type '{}', supported are text_time and none", c.origin(), *kind));
}

namespace {

std::int64_t kernel(const PretrainedConfig& c, const char* key) {
  const std::int64_t size = c.integer(key);
  if (size >= 1 && size % 2 == 1) return size;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: {} is {}, expected an odd number", c.origin(), key, size));
}

std::string one_of(const PretrainedConfig& c, const char* key, const char* first, const char* second) {
  std::string value = c.string(key);
  if (value == first || value == second) return value;
  throw ExportError(ErrorCode::unsupported,
                    fmt::format("{}: {} is '{}', supported: {}{}", c.origin(), key, value, first,
                                first == second ? "" : fmt::format(", {}", second)));
}

[[noreturn]] void fail_count(const PretrainedConfig& c, const char* key, std::size_t count,
                             std::size_t widths) {
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: {} has {} entries, expected one for each of the {} widths in "
                                "block_out_channels",
                                c.origin(), key, count, widths));
}

}  // namespace

UNetConfig::UNetConfig(const PretrainedConfig& c)
    : in_channels(divisor(c, "in_channels")),
      out_channels(divisor(c, "out_channels")),
      groups(divisor(c, "norm_num_groups")),
      conv_in(kernel(c, "conv_in_kernel")),
      conv_out(kernel(c, "conv_out_kernel")),
      downsample_padding(c.integer("downsample_padding")),
      widths(c.integers("block_out_channels")),
      layers(per_block(c, "layers_per_block")),
      heads(per_block(c, "attention_head_dim")),  // the original's name for the number of heads
      contexts(per_block(c, "cross_attention_dim")),
      transformer_layers(per_block(c, "transformer_layers_per_block")),
      down(kinds(c, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D")),
      up(kinds(c, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D")),
      middle(c.maybe_string("mid_block_type")),
      activation(c.string("act_fn")),
      eps(c.real("norm_eps")),
      middle_divisor(c.real("mid_block_scale_factor")),
      linear(c.flag("use_linear_projection")),
      float32_scores(c.flag("upcast_attention")),
      scale_shift(one_of(c, "resnet_time_scale_shift", "default", "scale_shift") == "scale_shift"),
      centered(c.flag("center_input_sample")),
      sinusoids{widths.front(), c.flag("flip_sin_to_cos"), c.real("freq_shift")},
      time_condition(c.maybe_integer("time_cond_proj_dim").value_or(0)),
      sizes(size_conditions(c)) {
  time_width = c.maybe_integer("time_embedding_dim").value_or(4 * widths.front());
  one_of(c, "time_embedding_type", "positional", "positional");
  if (middle && *middle != "UNetMidBlock2DCrossAttn") {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: mid_block_type '{}', supported are UNetMidBlock2DCrossAttn and none",
                                  c.origin(), *middle));
  }
  for (std::size_t i = 0; i < widths.size(); ++i) {
    check_multiple(c, "block_out_channels", widths[i], "norm_num_groups", groups);
    check_multiple(c, "block_out_channels", widths[i], "attention_head_dim", heads[i]);
  }
  c.harmless({"sample_size", "dropout"});
}

nn::ResnetBlock2dParameters UNetConfig::block(std::int64_t in, std::int64_t out) const {
  return {.in = in,
          .out = out,
          .time = time_width,
          .groups = groups,
          .eps = eps,
          .activation = activation,
          .scale_shift = scale_shift};
}

nn::SpatialTransformerParameters UNetConfig::transformer(std::size_t level) const {
  return {.channels = widths[level],
          .layers = transformer_layers[level],
          .heads = heads[level],
          .context = contexts[level],
          .groups = groups,
          .linear = linear,
          .float32_scores = float32_scores};
}

std::vector<std::int64_t> UNetConfig::per_block(const PretrainedConfig& c, const char* key) const {
  std::vector<std::int64_t> values = c.integers(key);
  if (values.size() == 1) values.resize(widths.size(), values.front());
  if (values.size() != widths.size() || values.empty()) fail_count(c, key, values.size(), widths.size());
  for (const std::int64_t value : values) {
    if (value < 1)
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: {} has {}, expected at least 1", c.origin(), key, value));
  }
  return values;
}

std::vector<std::string> UNetConfig::kinds(const PretrainedConfig& c, const char* key, const char* plain,
                                           const char* crossed) const {
  std::vector<std::string> values = c.strings(key);
  if (values.size() != widths.size()) fail_count(c, key, values.size(), widths.size());
  for (const std::string& value : values) {
    if (value == plain || value == crossed) continue;
    throw ExportError(ErrorCode::unsupported, fmt::format("{}: {} has '{}', supported are {} and {}",
                                                          c.origin(), key, value, plain, crossed));
  }
  return values;
}

}  // namespace onnxport::models
