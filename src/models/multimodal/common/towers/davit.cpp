#include "models/multimodal/common/towers/davit.h"

#include <fmt/format.h>

#include "models/common/config_lists.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/channel_norm.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/token_grid.h"
#include "onnxport/nn/vision.h"
#include "onnxport/nn/window_attention.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // torch's default: no knob

// x + a convolution of each channel with its neighbourhood.
Value convolved(const Scope& s, Value x, std::int64_t width) {
  const nn::Conv2d conv(s, width, width, {3, 3}, true, {.padding = {1, 1}, .groups = width});
  return op::add(conv(x), x);
}

struct Projections {
  std::string path;
  nn::Linear qkv, out;

  Projections(const Scope& s, std::int64_t width, bool bias)
      : path(s.path()), qkv(s / "qkv", width, 3 * width, bias), out(s / "proj", width, width) {}
};

// Tokens [B, N, C] of a grid attend to those of their window. Zeros that fill a window count as tokens.
Value attend_in_windows(const Projections& p, const DaVitConfig::Stage& stage, Value x,
                        const nn::WindowPartition& windows, const nn::TokenGrid& grid) {
  const ModulePath at(x, p.path);
  const std::int64_t tokens = windows.window() * windows.window(), width = stage.width;
  const Dim count = windows.batch() * windows.windows();
  const Value rows = p.qkv(windows.split(op::reshape(x, {grid.rows(), width})));
  const std::vector<Value> parts = op::chunk(op::reshape(rows, {count, tokens, 3 * width}), 2, 3);
  const op::AttentionOperands operands{.query = parts[0], .key = parts[1], .value = parts[2]};
  const Value seen = op::attention(operands, stage.heads, stage.heads).output;
  const Value projected = p.out(op::reshape(seen, {count * tokens, width}));
  return nn::rows_to_tokens(windows.join(projected), grid);
}

// Channels attend to those of their group; a channel's vector holds all tokens [B, N, C].
Value attend_among_channels(const Projections& p, const DaVitConfig::Stage& stage, Value x) {
  const ModulePath at(x, p.path);
  Graph& graph = x.graph();
  const Dim &batch = x.dim(0), &tokens = x.dim(1);
  const std::int64_t of_group = stage.width / stage.groups;
  const Value all = op::reshape(p.qkv(x), {batch, tokens, 3, stage.groups, of_group});
  const Value sorted = op::permute(all, {2, 0, 3, 4, 1});
  const Value count = op::cast(op::size(graph, tokens), DType::f32);
  const Value scale = op::cast(op::reciprocal(op::sqrt(count)), x.dtype());
  const Value query = op::mul(op::select(sorted, 0, 0), scale);
  const Value key = op::select(sorted, 0, 1), value = op::select(sorted, 0, 2);
  const Value seen = op::scaled_dot_product_attention(query, key, value, {}, {.scale = 1.0});
  return p.out(op::reshape(op::permute(seen, {0, 3, 1, 2}), {batch, tokens, stage.width}));
}

// `attend`: [B, N, C] -> [B, N, C]
Value block(const Scope& s, const DaVitConfig& c, const DaVitConfig::Stage& stage, Value x,
            const std::function<Value(Value)>& attend) {
  const ModulePath at(x, s.path());
  const Dim &rows = x.dim(2), &columns = x.dim(3);
  const std::int64_t width = stage.width;
  const auto inner = static_cast<std::int64_t>(static_cast<double>(width) * c.mlp_ratio);
  Value tokens = nn::image_to_tokens(convolved(s / "conv1", x, width));
  tokens = op::add(tokens, attend(nn::LayerNorm(s / "norm1", width, kEps)(tokens)));
  const Value image = convolved(s / "conv2", nn::tokens_to_image(tokens, rows, columns), width);
  tokens = nn::image_to_tokens(image);
  const Scope m = s / "ffn";
  const nn::Mlp mlp(m.path(), {m / "fc1", width, inner}, {m / "fc2", inner, width}, c.activation);
  tokens = op::add(tokens, mlp(nn::LayerNorm(s / "norm2", width, kEps)(tokens)));
  return nn::tokens_to_image(tokens, rows, columns);
}

Value shrink(const Scope& s, const DaVitConfig::Stage& stage, Value x) {
  const ModulePath at(x, s.path());
  const nn::ChannelNorm norm(s / "norm", stage.norm_first ? stage.in : stage.width, kEps);
  const nn::Conv2d conv(s / "conv", stage.in, stage.width, {stage.patch, stage.patch}, true,
                        {.stride = {stage.stride, stage.stride}, .padding = {stage.padding, stage.padding}});
  return stage.norm_first ? conv(norm(x)) : norm(conv(x));
}

}  // namespace

DaVitConfig::DaVitConfig(const PretrainedConfig& c)
    : window(divisor(c, "window_size")),
      mlp_ratio(c.real("mlp_ratio")),
      qkv_bias(c.flag("qkv_bias")),
      activation(c.string("activation_function")) {
  const std::vector<std::int64_t> widths = c.integers("embed_dim");
  const auto list = [&](const char* key) {
    std::vector<std::int64_t> values = c.integers(key);
    if (values.size() == widths.size()) return values;
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} has {} numbers, but embed_dim {}",
                                                         c.origin(), key, values.size(), widths.size()));
  };
  const auto depths = list("depths"), heads = list("num_heads"), groups = list("num_groups");
  const auto patches = list("patch_size"), strides = list("patch_stride"), padding = list("patch_padding");
  const std::vector<bool> norms = flags(c, "patch_prenorm", {false, true, true, true});
  if (norms.size() != widths.size() || widths.empty()) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: patch_prenorm has {} values, but embed_dim {}",
                                                         c.origin(), norms.size(), widths.size()));
  }
  const auto check = [&](const char* key, double value, double least, double most) {
    if (value >= least && value <= most) return;
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} has {}, expected numbers from {} to {}",
                                                         c.origin(), key, value, least, most));
  };
  check("mlp_ratio", mlp_ratio, 0, 1024);
  std::int64_t in = c.integer("in_channels");
  for (std::size_t i = 0; i < widths.size(); ++i) {
    check("depths", static_cast<double>(depths[i]), 0, 1024);
    check("patch_stride", static_cast<double>(strides[i]), 1, 1024);
    check("patch_padding", static_cast<double>(padding[i]), 0, 1024);
    check_multiple(c, "embed_dim", widths[i], "num_heads", heads[i]);
    check_multiple(c, "embed_dim", widths[i], "num_groups", groups[i]);
    stages.push_back(
        {in, widths[i], depths[i], heads[i], groups[i], patches[i], strides[i], padding[i], norms[i]});
    in = widths[i];
  }
}

Value encode_davit(const Scope& s, const DaVitConfig& c, Value images) {
  Value x = images;
  std::int64_t number = 0;
  for (const DaVitConfig::Stage& stage : c.stages) {
    x = shrink(s / "convs" / number, stage, x);
    const Scope blocks = s / "blocks" / number++;
    const nn::TokenGrid grid = nn::grid_of(x);
    std::optional<nn::WindowPartition> windows;
    {
      const ModulePath at(x, blocks.path() + ".windows");
      windows.emplace(x.graph(), grid, nn::WindowParameters{.window = c.window});
    }
    for (std::int64_t i = 0; i < stage.depth; ++i) {
      const Scope spatial = blocks / i / "spatial_block", channel = blocks / i / "channel_block";
      const Projections of_windows(spatial / "window_attn", stage.width, c.qkv_bias);
      x = block(spatial, c, stage, x,
                [&](Value tokens) { return attend_in_windows(of_windows, stage, tokens, *windows, grid); });
      const Projections of_channels(channel / "channel_attn", stage.width, c.qkv_bias);
      x = block(channel, c, stage, x,
                [&](Value tokens) { return attend_among_channels(of_channels, stage, tokens); });
    }
  }
  return x;
}

}  // namespace onnxport::models
