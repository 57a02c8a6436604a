// ViTDet: a plain Vision Transformer as a backbone, with attention in windows. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vitdet/modeling_vitdet.py
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "models/vision/common/backbone.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/channel_norm.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/rotated_encoder.h"
#include "onnxport/nn/vision.h"
#include "onnxport/nn/window_attention.h"

namespace onnxport::models {
namespace {

struct Config : ViTConfig {
  nn::KernelSize pretrain;  ///< grid of the stored positions
  std::int64_t window_size;
  std::vector<std::int64_t> window_blocks, residual_blocks;
  bool absolute, relative;

  explicit Config(const PretrainedConfig& c)
      : ViTConfig(c),
        pretrain(square_grid(c, patch)),
        window_size(c.integer("window_size")),
        window_blocks(c.integers("window_block_indices")),
        residual_blocks(c.integers("residual_block_indices")),
        absolute(c.flag("use_absolute_position_embeddings")),
        relative(c.flag("use_relative_position_embeddings")) {
    const double inner = static_cast<double>(hidden_size) * c.real("mlp_ratio");
    const bool fits = inner >= 1 && inner <= 1 << 24;  // not a number does not
    if (!fits || window_size < 0 || window_size > 1 << 10) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: mlp_ratio is {} and window_size {}, expected a positive number, and "
                                    "0 to 1024",
                                    c.origin(), c.real("mlp_ratio"), window_size));
    }
    intermediate_size = static_cast<std::int64_t>(inner);
  }

  std::int64_t head_dim() const { return hidden_size / num_attention_heads; }
  /// Of the windows of a layer; 0: all tokens attend to each other.
  std::int64_t window(std::int64_t layer) const {
    return std::count(window_blocks.begin(), window_blocks.end(), layer) > 0 ? window_size : 0;
  }
  bool has_residual(std::int64_t layer) const {
    return std::count(residual_blocks.begin(), residual_blocks.end(), layer) > 0;
  }

 private:
  static nn::KernelSize square_grid(const PretrainedConfig& c, nn::KernelSize patch) {
    const std::vector<std::int64_t> size = c.integers("pretrain_image_size");
    const std::int64_t rows = size.empty() ? 0 : size.front() / patch.height;
    if (rows < 1 || rows > 1 << 12 || size.back() / patch.width != rows) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: pretrain_image_size is [{}], expected a square of patches",
                                    c.origin(), fmt::join(size, ", ")));
    }
    return {rows, rows};
  }
};

/// How many tokens of an axis a query sees, and the size that the table of its distances is for.
struct Axis {
  const char* table;
  Dim extent;
  std::int64_t stored;
};

// The vectors of all distances along an axis, for each query: [query, head_dim, key].
Value distances(const Scope& s, const Config& c, Graph& graph, const Axis& axis) {
  const Weight stored = s.weight(axis.table, {2 * axis.stored - 1, c.head_dim()});
  Value table = graph.weight(stored);
  if (axis.extent != Dim(axis.stored)) {
    const Value matrix = nn::resampling_matrix(graph, axis.extent * 2 - 1, 2 * axis.stored - 1, "linear");
    table = op::cast(op::matmul(matrix, graph.weight_as_is(stored.cast(DType::f32))), graph.float_dtype());
  }
  const Value place = op::arange(graph, axis.extent);
  const Value most = op::size(graph, axis.extent - 1);
  const Value last = op::add(op::unsqueeze(place, 1), most);
  return op::permute(op::embedding(table, op::sub(last, place)), {0, 2, 1});
}

// Terms of the scores [N, heads, rows * columns, rows * columns] for queries [N, rows * columns, H].
Value position_bias(const Scope& s, const Config& c, Value query, const Axis& rows, const Axis& columns) {
  Graph& graph = query.graph();
  const std::int64_t heads = c.num_attention_heads;
  const Dim& batch = query.dim(0);
  const Dim& tokens = query.dim(1);
  const Value grid =
      op::reshape(nn::split_heads(query, heads), {batch, heads, rows.extent, columns.extent, c.head_dim()});
  const Value down = op::matmul(grid, distances(s, c, graph, rows));
  const Value apart = distances(s, c, graph, columns);
  const Value across = op::matmul(op::transpose(grid, 2, 3), apart);
  const Value by_row = op::reshape(down, {batch, heads, tokens, rows.extent, 1});
  const Value by_column = op::reshape(op::transpose(across, 2, 3), {batch, heads, tokens, 1, columns.extent});
  return op::reshape(op::add(by_row, by_column), {batch, heads, tokens, tokens});
}

// x [N, rows * columns, H] -> the same
Value attend(const Scope& s, const Config& c, Value x, const Axis& rows, const Axis& columns) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.hidden_size, heads = c.num_attention_heads;
  const std::vector<Value> parts = op::chunk(nn::Linear(s / "qkv", width, 3 * width, c.qkv_bias)(x), -1, 3);
  op::AttentionMask mask;
  if (c.relative) mask.bias = position_bias(s, c, parts[0], rows, columns);
  const Value context =
      op::attention({.query = parts[0], .key = parts[1], .value = parts[2], .mask = mask}, heads, heads)
          .output;
  return nn::Linear(s / "proj", width, width)(context);
}

// A convolution between two others, as a residual: [B, H, rows, columns] -> the same.
Value bottleneck(const Scope& s, const Config& c, Value image) {
  constexpr double kEps = 1e-6;
  const std::int64_t width = c.hidden_size, inner = c.hidden_size / 2;
  const ModulePath at(image, s.path());
  const nn::Activation activation(c.hidden_act);
  const nn::Conv2d conv1(s / "conv1", width, inner, {1, 1}, false),
      conv3(s / "conv3", inner, width, {1, 1}, false);
  const nn::Conv2d conv2(s / "conv2", inner, inner, {3, 3}, false, {.padding = {1, 1}});
  Value x = activation(nn::ChannelNorm(s / "norm1", inner, kEps)(conv1(image)));
  x = activation(nn::ChannelNorm(s / "norm2", inner, kEps)(conv2(x)));
  return op::add(image, nn::ChannelNorm(s / "norm3", width, kEps)(conv3(x)));
}

// x: rows of the grid -> the same. `windows`: of this layer; absent: all tokens attend to each other.
Value run_layer(const Scope& s, const Config& c, Value x, const nn::TokenGrid& grid,
                const std::optional<nn::WindowPartition>& windows) {
  const ModulePath at(x, s.path());
  const auto attention = [&](Value y) {
    if (!windows) {
      const Axis rows{"rel_pos_h", grid.height, c.grid.height},
          columns{"rel_pos_w", grid.width, c.grid.width};
      const Value seen = attend(s / "attention", c, nn::rows_to_tokens(y, grid), rows, columns);
      return op::reshape(seen, y.shape());
    }
    const std::int64_t side = windows->window();
    const Axis rows{"rel_pos_h", side, side}, columns{"rel_pos_w", side, side};
    const Value parts = windows->split(y);
    const Value apart =
        op::reshape(parts, {windows->batch() * windows->windows(), side * side, c.hidden_size});
    return windows->join(op::reshape(attend(s / "attention", c, apart, rows, columns), parts.shape()));
  };
  const nn::Mlp mlp((s / "mlp").path(), nn::Linear(s / "mlp" / "fc1", c.hidden_size, c.intermediate_size),
                    nn::Linear(s / "mlp" / "fc2", c.intermediate_size, c.hidden_size), c.hidden_act);
  const nn::LayerNorm norm1(s / "norm1", c.hidden_size, c.layer_norm_eps);
  const nn::LayerNorm norm2(s / "norm2", c.hidden_size, c.layer_norm_eps);
  x = nn::pre_norm_residual(x, norm1, attention);
  return nn::pre_norm_residual(x, norm2, mlp);
}

Value embed(const Scope& s, const Config& c, Value pixel_values) {
  const nn::Conv2d projection(s / "projection", c.num_channels, c.hidden_size, c.patch, true,
                              {.stride = {c.patch.height, c.patch.width}});
  Value image = projection(pixel_values);
  if (!c.absolute) return image;
  const ModulePath at(image, s.path());
  // The first position is that of a class token, which does not exist.
  const std::int64_t count = c.pretrain.height * c.pretrain.width;
  const Weight table = s.weight("position_embeddings", {1, 1 + count, c.hidden_size}).slice(1, 1, 1 + count);
  const Value positions =
      nn::GridTable(table, c.pretrain, "cubic")(image.graph(), image.dim(2), image.dim(3));
  return op::add(image, nn::tokens_to_image(positions, image.dim(2), image.dim(3)));
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Config c(config);
  const std::vector<std::int64_t> stages = token_stages(config);
  std::vector<Value> states = {embed(s / "embeddings", c, pixel_values)};
  const nn::TokenGrid grid = nn::grid_of(states[0]);
  std::optional<nn::WindowPartition> windows;
  Value x = nn::image_to_rows(states[0]);
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const Scope layer = s / "encoder" / "layer" / i;
    const bool windowed = c.window(i) > 0;
    if (windowed && !windows) windows.emplace(x.graph(), grid, nn::WindowParameters{.window = c.window_size});
    x = run_layer(layer, c, x, grid, windowed ? windows : std::nullopt);
    Value image = nn::rows_to_image(x, grid);
    if (c.has_residual(i)) {
      image = bottleneck(layer / "residual", c, image);
      x = nn::image_to_rows(image);
    }
    states.push_back(image);
  }
  return stage_features(states, stages);
}

}  // namespace

void register_vitdet(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "vitdet", .tasks = {}, .forward = {}, .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
