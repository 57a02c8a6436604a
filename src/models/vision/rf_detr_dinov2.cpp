// The DINOv2 of RF-DETR, only as a backbone: most layers attend within windows. Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/rf_detr/modeling_rf_detr.py
#include <fmt/format.h>

#include <algorithm>

#include "models/vision/common/backbone.h"
#include "models/vision/common/vit.h"
#include "onnxport/error.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

struct Config : ViTConfig {
  explicit Config(const PretrainedConfig& c)
      : ViTConfig(c),
        windows(c.integer("num_windows")),
        gated(c.flag("use_swiglu_ffn")),
        norms_results(c.flag("apply_layernorm")) {
    // The original's class always computes the layers with windows from the stages.
    c.harmless({"layerscale_value", "use_mask_token", "stage_names", "window_block_indexes"});
    const double ratio = c.real("mlp_ratio");
    const bool fits = windows > 0 && windows <= 1024 && ratio > 0 && ratio <= 1024 &&
                      patch.height == patch.width && grid.height == grid.width &&
                      c.flag("reshape_hidden_states");
    if (!fits) {
      throw ExportError(
          ErrorCode::bad_config,
          fmt::format("{}: num_windows {}, mlp_ratio {}, {} x {} patches: expected positive numbers "
                      "up to 1024, a square of square patches, and reshape_hidden_states",
                      c.origin(), windows, ratio, grid.height, grid.width));
    }
    intermediate_size = static_cast<std::int64_t>(static_cast<double>(hidden_size) * ratio);
    if (gated) intermediate_size = (intermediate_size * 2 / 3 + 7) / 8 * 8;
  }

  std::int64_t windows;
  bool gated, norms_results;
};

// Windows of patches. A row of windows has `windows` of them, like a column.
struct Windows {
  std::int64_t count;        // in a row
  Dim batch, rows, columns;  // of a window
  Dim patches() const { return rows * columns; }
};

// The matrix [to, from] of bicubic resampling with antialiasing: a kernel (coefficient -1/2) that is wider
// where the image shrinks, and no pixel outside of it.
Value resampling(Graph& graph, const Dim& to, std::int64_t from) {
  const auto number = [&](const Dim& dim) { return op::cast(op::size(graph, dim), DType::f32); };
  const auto places = [&](const Dim& count) {
    return op::add(op::cast(op::arange(graph, count), DType::f32), 0.5);
  };
  const Value all = number(from);
  const Value scale = op::div(all, number(to));
  const Value centre = op::unsqueeze(op::mul(places(to), scale), 1);
  const Value offset = op::abs(op::sub(places(from), centre));
  const Value x = op::div(offset, op::maximum(scale, 1.0));
  const Value square = op::mul(x, x), cube = op::mul(square, x);
  const Value steep = op::mul(cube, 1.5);
  const Value near = op::add(op::sub(steep, op::mul(square, 2.5)), 1.0);
  const Value rising = op::mul(square, 2.5);
  const Value falling = op::sub(rising, op::mul(cube, 0.5));
  const Value far = op::add(op::sub(falling, op::mul(x, 4.0)), 2.0);
  const Value tail = op::mul(far, op::cast(op::lt(x, 2.0), DType::f32));
  const Value weights = op::where(op::lt(x, 1.0), near, tail);
  return op::div(weights, op::sum(weights, 1, true));
}

// Positions of the patches: [1, rows, columns, hidden_size].
Value patch_positions(Value table, const Config& c, const Dim& rows, const Dim& columns) {
  const std::int64_t side = c.grid.height, width = c.hidden_size;
  const Value grid =
      op::cast(op::reshape(op::slice(table, 1, 1, side * side + 1), {side, side * width}), DType::f32);
  const Value down = op::matmul(resampling(table.graph(), rows, side), grid);
  const Value by_row = op::reshape(down, {rows, side, width});
  const Value all = op::matmul(resampling(table.graph(), columns, side), by_row);
  return op::cast(op::reshape(all, {1, rows * columns, width}), table.dtype());
}

// The tokens of each window, [B * windows², 1 + patches, hidden_size].
Value embed(const Scope& s, const Config& c, Value pixel_values, Windows& w) {
  const ModulePath at(pixel_values, s.path());
  const nn::Conv2d projection(s / "patch_embeddings" / "projection", c.num_channels, c.hidden_size, c.patch,
                              true, {.stride = {c.patch.height, c.patch.width}});
  Value image = projection(pixel_values);
  w = {c.windows, image.dim(0), image.dim(2).floor_div(c.windows), image.dim(3).floor_div(c.windows)};
  const Dim rows = w.count * w.rows, columns = w.count * w.columns;
  // The image has whole windows only.
  image = op::slice(op::slice(image, 2, 0, rows), 3, 0, columns);
  Graph& graph = image.graph();
  const Value table =
      graph.weight(s.weight("position_embeddings", {1, c.grid.height * c.grid.width + 1, c.hidden_size}));
  const Value token = graph.weight(s.weight("cls_token", {1, 1, c.hidden_size}));
  const Value cls = op::add(token, op::slice(table, 1, 0, 1));
  s.ignore("mask_token");
  const Value positions = patch_positions(table, c, rows, columns);
  Value tokens = op::add(nn::image_to_tokens(image), positions);
  // The original takes rows for columns here, which matters for images that are not square.
  tokens = op::reshape(tokens, {w.batch, w.count, w.columns, w.count, w.rows, c.hidden_size});
  const Dim all = w.batch * w.count * w.count;
  tokens = op::reshape(op::transpose(tokens, 2, 3), {all, w.patches(), c.hidden_size});
  return op::concat({op::expand(cls, {all, 1, c.hidden_size}), tokens}, 1);
}

// Keys: norm1, attention, layer_scale1, norm2, mlp, layer_scale2.
Value layer(const Scope& s, const Config& c, Value x) {
  const ModulePath at(x, s.path());
  const auto norm = [&](const char* name, Value y) {
    return nn::LayerNorm(s / name, c.hidden_size, c.layer_norm_eps)(y);
  };
  const auto scaled = [&](const char* name, Value y) {
    return op::mul(y, y.graph().weight((s / name).weight("lambda1", {c.hidden_size})));
  };
  const nn::SelfAttention attention(s / "attention",
                                    {.hidden_size = c.hidden_size,
                                     .heads = c.num_attention_heads,
                                     .query = "attention.query",
                                     .key = "attention.key",
                                     .value = "attention.value",
                                     .bias = c.qkv_bias ? nn::QkvBias::all : nn::QkvBias::none});
  x = op::add(scaled("layer_scale1", attention(norm("norm1", x))), x);
  const Scope mlp = s / "mlp";
  Value y = norm("norm2", x);
  if (c.gated) {
    y = nn::GatedMlp(
        mlp, {.hidden_size = c.hidden_size, .intermediate_size = c.intermediate_size, .bias = true})(y);
  } else {
    y = nn::Activation(c.hidden_act)(nn::Linear(mlp / "fc1", c.hidden_size, c.intermediate_size)(y));
    y = nn::Linear(mlp / "fc2", c.intermediate_size, c.hidden_size)(y);
  }
  return op::add(scaled("layer_scale2", y), x);
}

BackboneFeatures features(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const Config c(config);
  const std::vector<std::int64_t> stages = backbone_stages(config, c.num_hidden_layers);
  const auto chosen = [&](std::int64_t i) {
    return std::find(stages.begin(), stages.end(), i) != stages.end();
  };
  Windows w{};
  std::vector<Value> states = {embed(s / "embeddings", c, pixel_values, w)};
  const Dim squared = w.count * w.count;
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    Value x = states.back();
    const Shape apart = x.shape();
    // These attend to the tokens of all windows.
    if (chosen(i)) x = op::reshape(x, {w.batch, squared * apart[1], apart[2]});
    x = layer(s / "encoder" / "layer" / i, c, x);
    states.push_back(chosen(i) ? op::reshape(x, apart) : x);
  }
  const nn::LayerNorm norm(s / "layernorm", c.hidden_size, c.layer_norm_eps);
  BackboneFeatures found = stage_features(states, stages);
  for (Value& state : found.stages) {
    if (c.norms_results) state = norm(state);
    const Value patches = op::slice(state, 1, 1, state.dim(1));
    const Value apart = op::reshape(patches, {w.batch, w.count, w.count, w.rows, w.columns, c.hidden_size});
    const Value image = op::reshape(op::transpose(apart, 2, 3),
                                    {w.batch, w.count * w.rows, w.count * w.columns, c.hidden_size});
    state = op::permute(image, {0, 3, 1, 2});
  }
  return found;
}

}  // namespace

void register_rf_detr_dinov2(TasksManager& tasks) {
  tasks.register_model<VisionOnnxConfig>(
      {.model_type = "rf_detr_dinov2", .tasks = {}, .roles = {.backbone = BackboneRole{features}}});
}

}  // namespace onnxport::models
