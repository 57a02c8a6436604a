#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/vision/common/sam.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/channel_norm.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-6;  // of the norms after convolutions; not configurable

// Relative positions along an axis, as a matrix for each query: [query, d, key].
Weight relative_positions(const Scope& s, const char* name, std::int64_t size, std::int64_t head_dim) {
  const Weight table = s.weight(name, {2 * size - 1, head_dim});
  std::vector<std::int64_t> rows;
  for (std::int64_t query = 0; query < size; ++query) {
    for (std::int64_t key = 0; key < size; ++key) rows.push_back(query - key + size - 1);
  }
  return table.take(Weight::from_ints({size, size}, rows)).permute({0, 2, 1});
}

// The row and the column of each key of a window, as one-hot vectors: [keys, 2 * window].
Weight rows_and_columns(std::int64_t window) {
  std::vector<double> values(static_cast<std::size_t>(window * window * 2 * window));
  for (std::int64_t key = 0; key < window * window; ++key) {
    double* const marks = values.data() + key * 2 * window;
    marks[key / window] = 1;
    marks[window + key % window] = 1;
  }
  return Weight::from_doubles(DType::f32, {1, 1, window * window, 2 * window}, values);
}

// Attention within windows: x [B, side, side, C] -> the same, without the output projection.
Value attend(const Scope& s, const SamVisionConfig& c, Value x, std::int64_t window) {
  const ModulePath at(x, s.path());
  Graph& graph = x.graph();
  const std::int64_t width = c.hidden_size, heads = c.heads, head_dim = c.head_dim();
  const std::int64_t side = *x.dim(1).constant(), count = side / window, tokens = window * window;
  const Dim batch = x.dim(0), windows = batch * (count * count);

  const Weight weight = (s / "qkv").weight("weight", {3 * width, width});
  const Weight bias = c.qkv_bias ? (s / "qkv").weight("bias", {3 * width}) : Weight();
  // One transposition sorts by window and head: [windows, heads, tokens, head_dim].
  const auto project = [&](std::int64_t part) {
    const auto of_part = [&](const Weight& all) { return all.slice(0, part * width, (part + 1) * width); };
    const nn::Linear linear((s / "qkv").path(), of_part(weight), bias ? of_part(bias) : Weight());
    const Value spread = op::reshape(linear(x), {batch, count, window, count, window, heads, head_dim});
    return op::reshape(op::permute(spread, {0, 1, 3, 5, 2, 4, 6}), {windows, heads, tokens, head_dim});
  };
  Value query = project(0);
  Value key = project(1);
  const Value value = project(2);
  op::AttentionOptions options;
  if (c.relative) {
    // A score is scale * query * key + rows[key's row] + columns[key's column]. This is one product of longer
    // vectors; separate terms would need more memory than the scores. The position terms use the unscaled
    // query.
    key = op::mul(key, 1 / std::sqrt(static_cast<double>(head_dim)));
    options.scale = 1.0;
    const Value by_row = graph.weight(relative_positions(s, "rel_pos_h", window, head_dim));
    const Value by_column = graph.weight(relative_positions(s, "rel_pos_w", window, head_dim));
    const Value grid = op::reshape(query, {windows, heads, window, window, head_dim});
    const Value rows = op::reshape(op::matmul(grid, by_row), {windows, heads, tokens, window});
    const Value transposed = op::matmul(op::transpose(grid, 2, 3), by_column);
    const Value columns = op::reshape(op::transpose(transposed, 2, 3), {windows, heads, tokens, window});
    const Value marks = graph.weight(rows_and_columns(window));
    query = op::concat({query, rows, columns}, 3);
    key = op::concat({key, op::expand(marks, {windows, heads, tokens, 2 * window})}, 3);
  }
  const Value context = op::scaled_dot_product_attention(query, key, value, {}, options);
  const Value spread = op::reshape(context, {batch, count, count, heads, window, window, head_dim});
  return op::reshape(op::permute(spread, {0, 1, 4, 2, 5, 3, 6}), {batch, side, side, width});
}

// x [B, grid, grid, C]; a window of 0 is the whole grid.
Value vision_layer(const Scope& s, const SamVisionConfig& c, Value x, std::int64_t window) {
  const ModulePath at(x, s.path());
  const std::int64_t grid = c.grid(), side = window == 0 ? grid : (grid + window - 1) / window * window;
  Value y = nn::LayerNorm(s / "layer_norm1", c.hidden_size, c.eps)(x);
  if (side > grid) y = op::pad(y, {0, 0, 0, 0}, {0, side - grid, side - grid, 0});
  y = attend(s / "attn", c, y, window == 0 ? grid : window);
  for (const std::int64_t axis : {1, 2}) {
    if (side > grid) y = op::slice(y, axis, 0, grid);
  }
  x = op::add(x, nn::Linear(s / "attn" / "proj", c.hidden_size, c.hidden_size)(y));
  const Value normed = nn::LayerNorm(s / "layer_norm2", c.hidden_size, c.eps)(x);
  const nn::Mlp mlp((s / "mlp").path(), {s / "mlp" / "lin1", c.hidden_size, c.mlp_dim},
                    {s / "mlp" / "lin2", c.mlp_dim, c.hidden_size}, c.hidden_act);
  return op::add(x, mlp(normed));
}

}  // namespace

SamVisionConfig::SamVisionConfig(const PretrainedConfig& c)
    : hidden_size(c.integer("hidden_size")),
      heads(c.integer("num_attention_heads")),
      layers(c.integer("num_hidden_layers")),
      channels(c.integer("num_channels")),
      image_size(c.integer("image_size")),
      patch_size(c.integer("patch_size")),
      window_size(c.integer("window_size")),
      num_pos_feats(c.integer("num_pos_feats")),
      output_channels(c.integer("output_channels")),
      mlp_dim(c.maybe_integer("mlp_dim").value_or(
          static_cast<std::int64_t>(static_cast<double>(hidden_size) * c.real("mlp_ratio")))),
      global_layers(c.integers("global_attn_indexes")),
      hidden_act(c.string("hidden_act")),
      eps(c.real("layer_norm_eps")),
      qkv_bias(c.flag("qkv_bias")),
      absolute(c.flag("use_abs_pos")),
      relative(c.flag("use_rel_pos")) {
  check_heads(c, hidden_size, heads);
  if (patch_size > 0 && image_size >= patch_size && window_size >= 0) return;
  throw ExportError(
      ErrorCode::bad_config,
      fmt::format("{}: image_size {}, patch_size {}, window_size {}: expected a patch, and a window >= 0",
                  c.origin(), image_size, patch_size, window_size));
}

std::int64_t SamVisionConfig::window(std::int64_t layer) const {
  const bool global = std::find(global_layers.begin(), global_layers.end(), layer) != global_layers.end();
  return global ? 0 : window_size;
}

SamImage encode_sam_image(const Scope& s, const SamVisionConfig& c, Value pixel_values) {
  const ModulePath at(pixel_values, s.path());
  const std::int64_t grid = c.grid(), patch = c.patch_size, out = c.output_channels;
  const nn::Conv2d projection(s / "patch_embed" / "projection", c.channels, c.hidden_size, {patch, patch},
                              true, {.stride = {patch, patch}});
  Value x = op::permute(projection(pixel_values), {0, 2, 3, 1});
  if (c.absolute) x = op::add(x, x.graph().weight(s.weight("pos_embed", {1, grid, grid, c.hidden_size})));
  SamImage image;
  for (std::int64_t i = 0; i < c.layers; ++i) {
    x = vision_layer(s / "layers" / i, c, x, c.window(i));
    if (c.window(i) == 0) image.global.push_back(x);
  }
  const Scope neck = s / "neck";
  x = nn::Conv2d(neck / "conv1", c.hidden_size, out, {1, 1}, false)(op::permute(x, {0, 3, 1, 2}));
  x = nn::ChannelNorm(neck / "layer_norm1", out, kEps)(x);
  x = nn::Conv2d(neck / "conv2", out, out, {3, 3}, false, {.padding = {1, 1}})(x);
  image.embeddings = nn::ChannelNorm(neck / "layer_norm2", out, kEps)(x);
  return image;
}

}  // namespace onnxport::models
