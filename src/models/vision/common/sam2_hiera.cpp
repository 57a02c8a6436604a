// The encoder of images of SAM 2: Hiera (Ryali et al. 2023), and a pyramid. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/sam2/modeling_sam2.py
#include <fmt/format.h>

#include <algorithm>

#include "models/vision/common/sam2.h"
#include "models/vision/common/square_windows.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kLargest = std::int64_t{1} << 16;  // of any extent

struct HieraConfig {
  std::int64_t hidden_size, num_channels, query_pool_stages;
  std::vector<std::int64_t> kernel, stride, padding, query_stride, background;
  std::vector<std::int64_t> blocks, widths, heads, windows, global_blocks;
  double mlp_ratio, eps;
  std::string hidden_act;

  explicit HieraConfig(const PretrainedConfig& c)
      : hidden_size(c.integer("hidden_size")),
        num_channels(c.integer("num_channels")),
        query_pool_stages(c.integer("num_query_pool_stages")),
        kernel(list(c, "patch_kernel_size", {7, 7})),
        stride(list(c, "patch_stride", {4, 4})),
        padding(list(c, "patch_padding", {3, 3})),
        query_stride(list(c, "query_stride", {2, 2})),
        background(list(c, "window_positional_embedding_background_size", {7, 7})),
        blocks(list(c, "blocks_per_stage", {1, 2, 7, 2})),
        widths(list(c, "embed_dim_per_stage", {96, 192, 384, 768})),
        heads(list(c, "num_attention_heads_per_stage", {1, 2, 4, 8})),
        windows(list(c, "window_size_per_stage", {8, 4, 14, 7})),
        global_blocks(list(c, "global_attention_blocks", {5, 7, 9})),
        mlp_ratio(c.real("mlp_ratio")),
        eps(c.real("layer_norm_eps")),
        hidden_act(c.string("hidden_act")) {
    // Of the first stage, in the lists too; the size of images is that of the prompt encoder.
    c.harmless({"num_attention_heads", "image_size", "initializer_range"});
    check(c);
  }

  std::size_t stages() const { return blocks.size(); }
  bool pools(std::size_t stage) const {
    return stage > 0 && static_cast<std::int64_t>(stage) <= query_pool_stages;
  }

 private:
  static std::vector<std::int64_t> list(const PretrainedConfig& c, const char* key,
                                        std::vector<std::int64_t> otherwise) {
    return c.has(key) ? c.integers(key) : std::move(otherwise);
  }
  void check(const PretrainedConfig& c) const {
    const auto require = [&](bool fits, const char* key, const std::vector<std::int64_t>& got,
                             const std::string& expected) {
      if (fits) return;
      throw ExportError(ErrorCode::bad_config, fmt::format("{}: {} is [{}], expected {}", c.origin(), key,
                                                           fmt::join(got, ", "), expected));
    };
    const auto two = [&](const char* key, const std::vector<std::int64_t>& values, std::int64_t least) {
      const bool good = std::all_of(values.begin(), values.end(),
                                    [&](std::int64_t v) { return v >= least && v <= kLargest; });
      require(values.size() == 2 && good, key, values, fmt::format("two numbers of at least {}", least));
    };
    two("patch_kernel_size", kernel, 1);
    two("patch_stride", stride, 1);
    two("patch_padding", padding, 0);
    two("query_stride", query_stride, 1);
    two("window_positional_embedding_background_size", background, 1);
    constexpr std::size_t kMostStages = 16;
    const std::string each = "a number from 1 to 65536 for each of up to 16 stages";
    const auto list = [&](const char* key, const std::vector<std::int64_t>& values) {
      const bool good =
          std::all_of(values.begin(), values.end(), [&](std::int64_t v) { return v >= 1 && v <= kLargest; });
      const bool fits = !values.empty() && values.size() <= kMostStages && values.size() >= stages();
      require(good && fits, key, values, each);
    };
    list("blocks_per_stage", blocks);
    list("embed_dim_per_stage", widths);
    list("num_attention_heads_per_stage", heads);
    require(windows.size() >= stages() && std::all_of(windows.begin(), windows.end(),
                                                      [](std::int64_t w) { return w >= 0 && w <= kLargest; }),
            "window_size_per_stage", windows, "a number for each stage");
    check_multiple(c, "hidden_size", hidden_size, "itself", widths[0]);
    const bool sensible = mlp_ratio > 0 && mlp_ratio <= 1024;
    if (!sensible) {
      throw ExportError(ErrorCode::bad_config,
                        fmt::format("{}: mlp_ratio is {}, expected up to 1024", c.origin(), mlp_ratio));
    }
    for (std::size_t i = 0; i < stages(); ++i) {
      check_multiple(c, "embed_dim_per_stage", widths[i], "num_attention_heads_per_stage", heads[i]);
      require(!pools(i) || widths[i] != widths[i - 1], "embed_dim_per_stage", widths,
              "another number where a stage pools");
      require(!pools(i) || query_stride[0] == query_stride[1], "query_stride", query_stride, "equal numbers");
    }
  }
};

// Channels last: [B, H, W, C].
Value pool(Value x, const std::vector<std::int64_t>& stride) {
  const Value pooled = op::max_pool2d(op::permute(x, {0, 3, 1, 2}), stride);
  return op::permute(pooled, {0, 2, 3, 1});
}

std::int64_t extent(Value x, std::int64_t axis) { return x.dim(axis).constant().value(); }

struct Block {
  const HieraConfig& c;
  std::size_t stage;
  std::int64_t in, out, window;
  bool pools;

  // x [windows, h, w, in] -> [windows, h', w', out]
  Value attend(const Scope& s, Value x) const {
    const ModulePath at(x, s.path());
    const Dim windows = x.dim(0), tokens = x.dim(1) * x.dim(2);
    const Weight weight = (s / "qkv").weight("weight", {3 * out, in});
    const Weight bias = (s / "qkv").weight("bias", {3 * out});
    const auto project = [&](std::int64_t part) {
      const std::int64_t begin = part * out, end = begin + out;
      return nn::Linear((s / "qkv").path(), weight.slice(0, begin, end), bias.slice(0, begin, end))(x);
    };
    Value query = project(0);
    const Value key = op::reshape(project(1), {windows, tokens, out});
    const Value value = op::reshape(project(2), {windows, tokens, out});
    if (pools) query = pool(query, c.query_stride);
    const Shape result = query.shape();
    query = op::reshape(query, {windows, result[1] * result[2], out});
    const std::int64_t heads = c.heads[stage];
    const Value context = op::attention({.query = query, .key = key, .value = value}, heads, heads).output;
    return nn::Linear(s / "proj", out, out)(op::reshape(context, result));
  }

  Value operator()(const Scope& s, Value x) const {
    const ModulePath at(x, s.path());
    const Dim batch = x.dim(0);
    Value y = nn::LayerNorm(s / "layer_norm1", in, c.eps)(x);
    if (in != out) {
      x = nn::Linear(s / "proj", in, out)(y);
      if (pools) x = pool(x, c.query_stride);
    }
    if (window > 0) y = cut_windows(y, window);
    y = attend(s / "attn", y);
    if (window > 0) y = join_windows(y, batch, extent(x, 1), extent(x, 2));
    x = op::add(x, y);
    const auto inner = static_cast<std::int64_t>(static_cast<double>(out) * c.mlp_ratio);
    const nn::Mlp mlp((s / "mlp").path(), {s / "mlp" / "proj_in", out, inner},
                      {s / "mlp" / "proj_out", inner, out}, c.hidden_act);
    const Value normed = nn::LayerNorm(s / "layer_norm2", out, c.eps)(x);
    return op::add(x, mlp(normed));
  }
};

// A coarse table, resampled for the image, and a table that repeats in each window of the first stage.
Value positions(const Scope& s, const HieraConfig& c, Graph& graph, std::int64_t rows, std::int64_t columns) {
  const std::int64_t width = c.hidden_size, window = c.windows[0];
  if (window < 1 || rows % window != 0 || columns % window != 0) {
    throw ExportError(ErrorCode::bad_config, fmt::format("windows of {} do not divide an image of {} x {} "
                                                         "patches",
                                                         window, rows, columns));
  }
  const nn::KernelSize grid = {c.background[0], c.background[1]};
  const Weight coarse = s.weight("pos_embed", {1, width, grid.height, grid.width})
                            .permute({0, 2, 3, 1})
                            .reshape({1, grid.height * grid.width, width});
  const Value resampled = nn::GridTable(coarse, grid, "cubic")(graph, rows, columns);
  const Weight fine = s.weight("pos_embed_window", {1, width, window, window})
                          .permute({0, 2, 3, 1})
                          .reshape({1, 1, window, 1, window, width});
  const Value apart = op::reshape(resampled, {1, rows / window, window, columns / window, window, width});
  return op::reshape(op::add(apart, graph.weight(fine)), {1, rows, columns, width});
}

}  // namespace

std::vector<Value> sam2_hiera(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  const HieraConfig c(config);
  const ModulePath at(pixel_values, s.path());
  const nn::Conv2d projection(s / "patch_embed" / "projection", c.num_channels, c.hidden_size,
                              {c.kernel[0], c.kernel[1]}, true, {.stride = c.stride, .padding = c.padding});
  Value x = op::permute(projection(pixel_values), {0, 2, 3, 1});
  x = op::add(x, positions(s, c, x.graph(), extent(x, 1), extent(x, 2)));
  std::vector<Value> stages;
  std::int64_t number = 0;
  for (std::size_t stage = 0; stage < c.stages(); ++stage) {
    for (std::int64_t i = 0; i < c.blocks[stage]; ++i, ++number) {
      // The first block of a stage has the width and the window of the stage before.
      const std::size_t before = stage > 0 && i == 0 ? stage - 1 : stage;
      const bool global =
          std::find(c.global_blocks.begin(), c.global_blocks.end(), number) != c.global_blocks.end();
      const Block block{c,
                        stage,
                        c.widths[before],
                        c.widths[stage],
                        global ? 0 : c.windows[before],
                        i == 0 && c.pools(stage)};
      x = block(s / "blocks" / number, x);
    }
    stages.push_back(op::permute(x, {0, 3, 1, 2}));
  }
  return stages;
}

std::vector<Value> sam2_neck(const Scope& s, const PretrainedConfig& vision_config,
                             const std::vector<Value>& features) {
  const ModulePath at(features.front(), s.path());
  // Nothing has this activation and these norms.
  vision_config.harmless({"hidden_act", "layer_norm_eps", "initializer_range"});
  const auto list = [&](const char* key, const std::vector<std::int64_t>& otherwise) {
    return vision_config.has(key) ? vision_config.integers(key) : otherwise;
  };
  const std::vector<std::int64_t> top_down = list("fpn_top_down_levels", {2, 3});
  const std::int64_t width = vision_config.integer("fpn_hidden_size"),
                     kernel = vision_config.integer("fpn_kernel_size");
  const std::int64_t stride = vision_config.integer("fpn_stride"),
                     padding = vision_config.integer("fpn_padding");
  const std::int64_t count = std::ssize(features), levels = vision_config.integer("num_feature_levels");
  std::vector<std::int64_t> channels;  // of the backbone, from the smallest features to the largest
  for (auto it = features.rbegin(); it != features.rend(); ++it) channels.push_back(extent(*it, 1));
  const std::vector<std::int64_t> declared = list("backbone_channel_list", channels);
  const bool known =
      kernel > 0 && kernel < kLargest && stride == 1 && padding >= 0 && 2 * padding + 1 == kernel;
  if (!known || declared != channels || levels < 1 || levels > count || width < 1) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: vision_config has fpn_kernel_size {}, fpn_stride {} and fpn_padding {}, "
                    "fpn_hidden_size {}, num_feature_levels {} and backbone_channel_list [{}]: expected a "
                    "convolution that keeps the size, 1 to {} levels and the channels [{}]",
                    vision_config.origin(), kernel, stride, padding, width, levels, fmt::join(declared, ", "),
                    count, fmt::join(channels, ", ")));
  }
  std::vector<Value> results;
  Value x;
  for (std::int64_t i = count - 1; i >= 0; --i) {
    const Value& image = features[static_cast<std::size_t>(i)];
    const nn::Conv2d lateral(s / "convs" / (count - 1 - i), extent(image, 1), width, {kernel, kernel}, true,
                             {.padding = {padding, padding}});
    const Value own = lateral(image);
    const bool adds = x && std::find(top_down.begin(), top_down.end(), i) != top_down.end();
    x = adds ? op::add(own, op::interpolate(x, {x.dim(2) * 2, x.dim(3) * 2}, "nearest")) : own;
    if (i < levels) results.insert(results.begin(), x);
  }
  return results;
}

std::vector<Value> encode_sam2_image(const Scope& /*root*/, const Scope& base,
                                     const PretrainedConfig& vision_config, Value pixel_values) {
  const Scope s = base / "vision_encoder";
  const PretrainedConfig backbone = vision_config.sub("backbone_config", "sam2_hiera_det_model");
  if (backbone.model_type() != "sam2_hiera_det_model") {
    throw ExportError(ErrorCode::unsupported,
                      fmt::format("{}: a backbone of type '{}' in vision_config, expected "
                                  "sam2_hiera_det_model",
                                  vision_config.origin(), backbone.model_type()));
  }
  return sam2_neck(s / "neck", vision_config, sam2_hiera(s / "backbone", backbone, pixel_values));
}

}  // namespace onnxport::models
