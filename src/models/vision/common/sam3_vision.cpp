// Original:
// https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/models/sam3/modeling_sam3.py
#include "models/vision/common/sam3_vision.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/vision/common/square_windows.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kMostPatches = 1 << 10;  // in a row

struct VitConfig {
  std::int64_t hidden_size, inner, layers, heads, channels, image_size, patch_size, pretrain_size, window;
  std::vector<std::int64_t> global_layers;
  std::string hidden_act;
  double eps, rope_theta;

  explicit VitConfig(const PretrainedConfig& c)
      : hidden_size(c.integer("hidden_size")),
        inner(c.integer("intermediate_size")),
        layers(c.integer("num_hidden_layers")),
        heads(c.integer("num_attention_heads")),
        channels(c.integer("num_channels")),
        image_size(c.integer("image_size")),
        patch_size(c.integer("patch_size")),
        pretrain_size(c.integer("pretrain_image_size")),
        window(c.integer("window_size")),
        global_layers(c.has("global_attn_indexes") ? c.integers("global_attn_indexes")
                                                   : std::vector<std::int64_t>{7, 15, 23, 31}),
        hidden_act(c.string("hidden_act")),
        eps(c.real("layer_norm_eps")),
        rope_theta(theta(c)) {
    // Nothing has this scale; the others concern training.
    c.harmless({"layer_scale_init_value", "hidden_dropout", "attention_dropout", "initializer_range"});
    check_heads(c, hidden_size, heads);
    check_multiple(c, "the width of a head", hidden_size / heads, "its rotation", 4);
    const bool sizes = patch_size > 0 && image_size >= patch_size && pretrain_size >= patch_size;
    const bool sensible = sizes && grid() <= kMostPatches && pretrain_grid() <= grid();
    if (sensible && window >= 1 && window <= grid()) return;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: image_size {}, pretrain_image_size {}, patch_size {} and window_size {}: expected a "
                    "patch, an image at least as large as in training, and a window in it",
                    c.origin(), image_size, pretrain_size, patch_size, window));
  }

  std::int64_t grid() const { return image_size / patch_size; }
  std::int64_t pretrain_grid() const { return pretrain_size / patch_size; }
  std::int64_t window_of(std::int64_t layer) const {
    return std::find(global_layers.begin(), global_layers.end(), layer) == global_layers.end() ? window : 0;
  }

 private:
  static double theta(const PretrainedConfig& c) {
    if (!c.has("rope_parameters")) return c.real("rope_theta", 10000.0);
    const PretrainedConfig rope = c.sub("rope_parameters");
    const std::string type = rope.string("rope_type", "axial");
    if (type != "axial") {
      throw ExportError(ErrorCode::unsupported,
                        fmt::format("{}: rope_type '{}', expected axial", c.origin(), type));
    }
    return rope.real("rope_theta", c.real("rope_theta", 10000.0));
  }
};

struct Rotation {
  Weight cosines, sines;  // float32 [1, side², head / 2]
};

// The angles of the tokens of a square: half of the pairs turn with the column, half with the row. A square
// of another size than a window is as wide as one.
Rotation rotation(const VitConfig& c, std::int64_t side) {
  const std::int64_t quarter = c.hidden_size / c.heads / 4;
  const double step = static_cast<double>(c.window) / static_cast<double>(side);
  std::vector<double> cosines, sines;
  const auto turn = [&](std::int64_t place) {
    for (std::int64_t i = 0; i < quarter; ++i) {
      const double frequency = std::pow(c.rope_theta, -static_cast<double>(i) / static_cast<double>(quarter));
      const double angle = static_cast<double>(place) * step * frequency;
      cosines.push_back(std::cos(angle));
      sines.push_back(std::sin(angle));
    }
  };
  for (std::int64_t i = 0; i < side * side; ++i) {
    turn(i % side);
    turn(i / side);
  }
  const std::vector<std::int64_t> shape = {1, side * side, 2 * quarter};
  return {Weight::from_doubles(DType::f32, shape, cosines), Weight::from_doubles(DType::f32, shape, sines)};
}

// x [squares, side, side, C] -> the same
Value attend(const Scope& s, const VitConfig& c, Value x, const Rotation& rotation) {
  const ModulePath at(x, s.path());
  const Shape& shape = x.shape();
  const Value tokens = op::flatten(x, 1, 2);
  const auto project = [&](const char* name) {
    return nn::Linear(s / name, c.hidden_size, c.hidden_size)(tokens);
  };
  const Value cosines = x.graph().weight(rotation.cosines), sines = x.graph().weight(rotation.sines);
  const Value query = op::rotary_embedding(project("q_proj"), cosines, sines, c.heads, true);
  const Value key = op::rotary_embedding(project("k_proj"), cosines, sines, c.heads, true);
  const Value value = project("v_proj");
  const Value context = op::attention({.query = query, .key = key, .value = value}, c.heads, c.heads).output;
  return op::reshape(nn::Linear(s / "o_proj", c.hidden_size, c.hidden_size)(context), shape);
}

// x [B, grid, grid, C] -> the same
Value layer(const Scope& s, const VitConfig& c, Value x, std::int64_t window, const Rotation& rotation) {
  const ModulePath at(x, s.path());
  const auto norm = [&](const char* name) { return nn::LayerNorm(s / name, c.hidden_size, c.eps)(x); };
  Value y = norm("layer_norm1");
  if (window > 0) y = cut_windows(y, window);
  y = attend(s / "attention", c, y, rotation);
  if (window > 0) y = join_windows(y, x.dim(0), c.grid(), c.grid());
  x = op::add(x, y);
  const nn::Mlp mlp((s / "mlp").path(), {s / "mlp" / "fc1", c.hidden_size, c.inner},
                    {s / "mlp" / "fc2", c.inner, c.hidden_size}, c.hidden_act);
  const Value fed = mlp(norm("layer_norm2"));
  return op::add(x, fed);
}

// Images -> [B, C, grid, grid]. The positions of smaller images repeat.
Value encode(const Scope& s, const VitConfig& c, Value pixel_values) {
  const ModulePath at(pixel_values, s.path());
  const std::int64_t grid = c.grid(), trained = c.pretrain_grid(), width = c.hidden_size;
  const Scope embeddings = s / "embeddings";
  const nn::Conv2d patches(embeddings / "patch_embeddings" / "projection", c.channels, width,
                           {c.patch_size, c.patch_size}, false, {.stride = {c.patch_size, c.patch_size}});
  std::vector<std::int64_t> rows;
  for (std::int64_t i = 0; i < grid * grid; ++i)
    rows.push_back(i / grid % trained * trained + i % grid % trained);
  const Weight positions = embeddings.weight("position_embeddings", {1, trained * trained, width})
                               .reshape({trained * trained, width})
                               .take(Weight::from_ints({1, grid, grid}, rows));
  const Value image = op::permute(patches(pixel_values), {0, 2, 3, 1});
  Value x = op::add(image, image.graph().weight(positions));
  x = nn::LayerNorm(s / "layer_norm", width, c.eps)(x);
  const Rotation in_window = rotation(c, c.window), in_grid = rotation(c, grid);
  for (std::int64_t i = 0; i < c.layers; ++i) {
    const std::int64_t window = c.window_of(i);
    x = layer(s / "layers" / i, c, x, window, window > 0 ? in_window : in_grid);
  }
  return op::permute(x, {0, 3, 1, 2});
}

// A level of the pyramid.
Value level(const Scope& s, Value image, std::int64_t width, double scale) {
  const ModulePath at(image, s.path());
  const auto enlarge = [&](std::int64_t index) {
    const std::int64_t channels = *image.dim(1).constant();
    image = nn::ConvTranspose2d(s / "scale_layers" / index, channels, channels / 2, {2, 2}, true,
                                {.stride = {2, 2}})(image);
  };
  if (scale >= 2) enlarge(0);
  if (scale == 4) {
    image = op::gelu(image);
    enlarge(2);
  }
  if (scale < 1) image = op::max_pool2d(image, {2, 2});
  image = nn::Conv2d(s / "proj1", *image.dim(1).constant(), width, {1, 1})(image);
  return nn::Conv2d(s / "proj2", width, width, {3, 3}, true, {.padding = {1, 1}})(image);
}

}  // namespace

std::vector<Value> encode_sam3_image(const Scope& backbone, const Scope& neck, const PretrainedConfig& config,
                                     Value pixel_values) {
  // Nothing has this activation and these norms.
  config.harmless({"hidden_act", "layer_norm_eps", "initializer_range"});
  const VitConfig c(config.sub("backbone_config", "sam3_vit_model"));
  const std::int64_t width = config.integer("fpn_hidden_size");
  const std::vector<double> scales =
      config.has("scale_factors") ? config.reals("scale_factors") : std::vector<double>{4, 2, 1, 0.5};
  const Value image = encode(backbone, c, pixel_values);
  std::vector<Value> levels;
  for (const double scale : scales) {
    const bool known = scale == 4 || scale == 2 || scale == 1 || scale == 0.5;
    if (!known || c.hidden_size % 4 != 0) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: a scale of {} in scale_factors and hidden_size {}, expected 4, 2, 1 "
                                    "or 0.5, and a multiple of 4",
                                    config.origin(), scale, c.hidden_size));
    }
    const auto index = static_cast<std::int64_t>(levels.size());
    levels.push_back(level(neck / "fpn_layers" / index, image, width, scale));
  }
  return levels;
}

}  // namespace onnxport::models
