// Swin Transformer. Original:
// https://github.com/huggingface/pytorch-image-models/blob/v1.0.31/timm/models/swin_transformer.py
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "models/timm/common/family.h"
#include "models/timm/common/tokens.h"
#include "onnxport/nn/resnet.h"
#include "onnxport/nn/token_grid.h"
#include "onnxport/nn/vision.h"
#include "onnxport/nn/window_attention.h"

namespace onnxport::models {
namespace {

struct Swin {
  std::int64_t width;
  std::vector<std::int64_t> depths, heads, windows = {7};  // per stage; one for all
};

const std::map<std::string, Swin, std::less<>>& architectures() {
  static const auto entries = [] {
    const std::vector<std::int64_t> narrow = {3, 6, 12, 24}, middle = {4, 8, 16, 32}, wide = {6, 12, 24, 48};
    const std::vector<std::int64_t> flat = {2, 2, 6, 2}, deep = {2, 2, 18, 2};
    return std::map<std::string, Swin, std::less<>>{
        {"swin_tiny_patch4_window7_224", {96, flat, narrow}},
        {"swin_small_patch4_window7_224", {96, deep, narrow}},
        {"swin_base_patch4_window7_224", {128, deep, middle}},
        {"swin_base_patch4_window12_384", {128, deep, middle, {12}}},
        {"swin_large_patch4_window7_224", {192, deep, wide}},
        {"swin_large_patch4_window12_384", {192, deep, wide, {12}}},
        {"swin_s3_tiny_224", {96, flat, narrow, {7, 7, 14, 7}}},
        {"swin_s3_small_224", {96, deep, narrow, {14, 14, 14, 7}}},
        {"swin_s3_base_224", {96, {2, 2, 30, 2}, narrow, {7, 7, 14, 7}}},
    };
  }();
  return entries;
}

constexpr double kEps = 1e-5;

struct Config {
  std::int64_t width;
  std::vector<std::int64_t> depths, heads, windows;
  double mlp_ratio;
  bool qkv_bias;
  nn::KernelSize patch;

  explicit Config(const TimmConfig& c) {
    const Swin& usual = architecture_in(architectures(), c);
    width = c.positive("embed_dim", usual.width);
    depths = c.integers("depths", usual.depths);
    constexpr std::size_t kMostStages = 16;
    if (depths.size() > kMostStages) c.fail(fmt::format("model_args.depths has {} stages", depths.size()));
    heads = c.sizes("num_heads", usual.heads, depths.size());
    windows = c.sizes("window_size", usual.windows, depths.size());
    mlp_ratio = c.real("mlp_ratio", 4);
    qkv_bias = c.flag("qkv_bias", true);
    patch = patch_size(c, 4);
    patch_grid(c, patch);
    if (c.flag("always_partition", false)) c.refuse("model_args.always_partition is true, expected false");
    c.harmless({"strict_img_size", "dynamic_img_size"});  // the file takes images of one size
    for (std::size_t i = 0; i < depths.size(); ++i) {
      if (channels(i) % heads[i] != 0 || inner(i) < 1) {
        c.fail(fmt::format("the {} channels of stage {} do not fit to {} heads and mlp_ratio {}", channels(i),
                           i, heads[i], mlp_ratio));
      }
    }
  }

  std::int64_t channels(std::size_t stage) const { return width << stage; }
  std::int64_t inner(std::size_t stage) const {
    return static_cast<std::int64_t>(static_cast<double>(channels(stage)) * mlp_ratio);
  }
};

Value run_block(const Scope& s, const Config& c, std::size_t stage, const nn::WindowPartition& windows,
                Value x) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.channels(stage), heads = c.heads[stage], window = windows.window();
  const Scope attn = s / "attn";
  attn.ignore("relative_position_index");  // stored buffers
  s.ignore("attn_mask");
  const std::int64_t ways = 2 * window - 1;
  const nn::WindowAttention attention(attn.path(), {nn::Linear(attn / "qkv", width, 3 * width, c.qkv_bias)},
                                      nn::Linear(attn / "proj", width, width),
                                      attn.weight("relative_position_bias_table", {ways * ways, heads}),
                                      {.hidden_size = width, .heads = heads, .window = window});
  const nn::LayerNorm norm1(s / "norm1", width, kEps), norm2(s / "norm2", width, kEps);
  const Value middle = op::add(x, attention(norm1(x), windows));
  return op::add(middle, token_mlp(s / "mlp", width, c.inner(stage))(norm2(middle)));
}

// A grid that is not larger than a window is one window; else every second block shifts its windows.
Value run_stage(const Scope& s, const TimmConfig& timm, const Config& c, std::size_t stage,
                const nn::TokenGrid& grid, Value x) {
  const std::int64_t rows = *grid.height.constant(), columns = *grid.width.constant();
  const std::int64_t window = std::min({c.windows[stage], rows, columns});
  const bool one = rows <= c.windows[stage] && columns <= c.windows[stage];
  // The original shifts before it fills the last windows, and shrinks each side of a window on its own.
  if (one ? rows != columns : window != c.windows[stage] || rows % window != 0 || columns % window != 0) {
    timm.refuse(fmt::format("stage {} has {} x {} tokens, which windows of {} do not divide", stage, rows,
                            columns, c.windows[stage]));
  }
  Graph& graph = x.graph();
  const nn::WindowPartition straight(graph, grid, {.window = window, .smaller_grid = false});
  const nn::WindowPartition shifted(graph, grid,
                                    {.window = window, .shift = one ? 0 : window / 2, .smaller_grid = false});
  for (std::int64_t i = 0; i < c.depths[stage]; ++i)
    x = run_block(s / "blocks" / i, c, stage, i % 2 == 0 ? straight : shifted, x);
  return x;
}

// Old files merge patches at the end of a stage instead of the beginning of the next one.
Scope merging(const Scope& layers, std::size_t stage) {
  const bool old = (layers / 0 / "downsample").exists();
  return layers / static_cast<std::int64_t>(old ? stage - 1 : stage) / "downsample";
}

TimmOutputs run(const Scope& s, const TimmConfig& c, Value pixel_values) {
  const Config swin(c);
  const Value patches = embed_patches(s / "patch_embed", c, pixel_values, swin.patch, swin.width);
  const nn::KernelSize size = patch_grid(c, swin.patch);
  nn::TokenGrid grid{patches.dim(0), size.height, size.width};
  Value x = op::reshape(patches, {grid.rows(), swin.width});
  x = nn::LayerNorm(s / "patch_embed" / "norm", swin.width, kEps)(x);
  for (std::size_t i = 0; i < swin.depths.size(); ++i) {
    if (i > 0) {
      x = nn::PatchMerging(merging(s / "layers", i), swin.channels(i - 1))(x, grid);
      grid = nn::PatchMerging::merged(grid);
    }
    x = run_stage(s / "layers" / static_cast<std::int64_t>(i), c, swin, i, grid, x);
  }
  const std::int64_t channels = swin.channels(swin.depths.size() - 1);
  x = nn::LayerNorm(s / "norm", channels, kEps)(x);
  const Value features = op::reshape(x, {grid.batch, grid.height, grid.width, channels});
  const Scope head = (s / "head" / "fc").exists() ? s / "head" / "fc" : s / "head";
  const Value pooled = pool_tokens(nn::rows_to_tokens(x, grid), c.global_pool(), 0);
  return {features, classify(head, c, pooled, channels)};
}

}  // namespace

void register_timm_swin_transformer(TasksManager& tasks) {
  tasks.register_model<FixedTimmOnnxConfig>(timm_definition(
      {.name = "swin_transformer", .architectures = architectures_of(architectures()), .run = run}));
}

}  // namespace onnxport::models
