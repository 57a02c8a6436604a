#include "models/audio/common/clap.h"

#include <fmt/format.h>

#include <algorithm>

#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/token_grid.h"
#include "onnxport/nn/window_attention.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-5;  // of the norms between stages, not configurable

[[noreturn]] void refuse(ErrorCode code, const PretrainedConfig& c, const std::string& what) {
  throw ExportError(code, fmt::format("{}: {}", c.origin(), what));
}

std::vector<std::int64_t> pair(const PretrainedConfig& c, const char* key) {
  std::vector<std::int64_t> sides = c.integers(key);
  if (sides.size() == 1) sides.push_back(sides[0]);
  constexpr std::int64_t kMost = 1 << 16;
  const auto fits = [](std::int64_t side) { return side > 0 && side <= kMost; };
  if (sides.size() != 2 || !std::all_of(sides.begin(), sides.end(), fits))
    refuse(ErrorCode::bad_config, c,
           fmt::format("{} is [{}], expected two numbers from 1 to {}", key, fmt::join(sides, ", "), kMost));
  return sides;
}

void check(const PretrainedConfig& config, const ClapAudioConfig& c) {
  if (config.flag("enable_fusion") || !config.flag("flatten_patch_embeds") ||
      config.integer("patch_embed_input_channels") != 1) {
    refuse(ErrorCode::unsupported, config,
           fmt::format("enable_fusion is {}, flatten_patch_embeds {} and patch_embed_input_channels {}, only "
                       "false, true and 1 are known",
                       config.flag("enable_fusion"), config.flag("flatten_patch_embeds"),
                       config.integer("patch_embed_input_channels")));
  }
  const auto bad = [&](const std::string& what) { refuse(ErrorCode::bad_config, config, what); };
  constexpr std::int64_t kMost = 1 << 14, kMostStages = 8;
  if (c.mel_bins < 1 || c.spec_size < 2 || c.spec_size < c.mel_bins || c.spec_size > kMost ||
      c.spec_size % c.mel_bins != 0)
    bad(fmt::format("spec_size is {} and num_mel_bins {}, expected a multiple of it, up to {}", c.spec_size,
                    c.mel_bins, kMost));
  if (c.depths.empty() || c.stages() > kMostStages || c.heads.size() < c.depths.size())
    bad(fmt::format("depths has {} stages and num_attention_heads {}, expected 1 to {} of each", c.stages(),
                    c.heads.size(), kMostStages));
  if (c.embed_dim < 1 || c.embed_dim > kMost || c.width(c.stages() - 1) != c.hidden_size)
    bad(
        fmt::format("patch_embeds_hidden_size is {} with {} stages and hidden_size {}, expected that of the "
                    "last stage",
                    c.embed_dim, c.stages(), c.hidden_size));
  for (std::int64_t stage = 0; stage < c.stages(); ++stage) {
    const std::int64_t heads = c.heads[static_cast<std::size_t>(stage)];
    if (heads < 1 || c.width(stage) % heads != 0)
      bad(fmt::format("the {} channels of stage {} are not a multiple of num_attention_heads {}",
                      c.width(stage), stage, heads));
  }
  for (const std::size_t axis : {0, 1}) {
    const std::int64_t stride = c.patch_stride[axis];
    const std::int64_t last = c.spec_size / stride >> (c.stages() - 1);
    if (c.patch_size[axis] < stride || (c.patch_size[axis] - stride) % 2 != 0 || c.spec_size % stride != 0)
      bad(fmt::format("spec_size {}, patch_size {} and patch_stride {} do not fit", c.spec_size,
                      c.patch_size[axis], stride));
    if (c.window_size < 1 || last < c.window_size || last % c.parts() != 0)
      bad(
          fmt::format("the last stage has {} tokens in a row, expected at least window_size {}, and a "
                      "multiple of {}",
                      last, c.window_size, c.parts()));
  }
}

// The weight of a frame at this distance, from 0 to 2. (Keys 1981, coefficient -0.75)
Value cubic(Value distance, bool near) {
  constexpr double kA = -0.75;
  const auto polynomial = [&](double cube, double square, double linear, double constant) {
    Value sum = op::add(op::mul(distance, cube), square);
    sum = op::add(op::mul(sum, distance), linear);
    return op::add(op::mul(sum, distance), constant);
  };
  return near ? polynomial(kA + 2, -(kA + 3), 0, 1) : polynomial(kA, -5 * kA, 8 * kA, -4 * kA);
}

// x [B, 1, L, C] -> [B, 1, frames, C], bicubic with the outermost frames aligned. The op for it loses
// positions in float32. Here they are integers and a remainder.
Value stretch(Value x, std::int64_t frames) {
  Graph& graph = x.graph();
  const auto gaps = static_cast<double>(frames - 1);
  const Value last = op::size(graph, x.dim(2) - 1);
  const Value place = op::mul(op::arange(graph, frames), last);
  const Value below = op::div(place, gaps);
  const Value rest = op::sub(place, op::mul(below, gaps));
  const Value fraction = op::div(op::cast(rest, DType::f32), gaps);
  const Value rows = op::permute(x, {2, 0, 1, 3});
  Value sum;
  for (const int offset : {-1, 0, 1, 2}) {
    const Value nearest = op::minimum(op::add(below, offset), last);
    const Value frame = op::embedding(rows, op::maximum(nearest, 0.0));
    const Value distance = offset < 1 ? op::sub(fraction, offset) : op::sub(offset, fraction);
    const Value weight = op::cast(cubic(distance, offset == 0 || offset == 1), x.dtype());
    const Value part = op::mul(frame, op::reshape(weight, {frames, 1, 1, 1}));
    sum = sum ? op::add(sum, part) : part;
  }
  return op::permute(sum, {1, 2, 0, 3});
}

// [B, 1, frames, mel bins] -> the square image [B, 1, spec_size, spec_size]: parts of the time axis, one
// above the other, each turned so that its rows are bands.
Value to_image(const ClapAudioConfig& c, Value features) {
  const Dim& batch = features.dim(0);
  const Value filled = stretch(features, c.frames());
  const Value parts = op::reshape(filled, {batch, c.parts(), c.spec_size, c.mel_bins});
  return op::reshape(op::transpose(parts, 2, 3), {batch, 1, c.spec_size, c.spec_size});
}

// Layers with attention in windows. Every second one shifts them by half a window, unless one window fills
// the grid.
Value run_stage(const Scope& s, const ClapAudioConfig& c, std::int64_t stage, Value x,
                const nn::TokenGrid& grid) {
  const ModulePath at(x, s.path());
  const std::int64_t width = c.width(stage);
  const auto inner = static_cast<std::int64_t>(c.mlp_ratio * static_cast<double>(width));
  const std::int64_t smaller = std::min(*grid.height.constant(), *grid.width.constant());
  const std::int64_t shift = smaller > c.window_size ? c.window_size / 2 : 0;
  const nn::WindowPartition straight(x.graph(), grid, {.window = c.window_size});
  const nn::WindowPartition shifted(x.graph(), grid, {.window = c.window_size, .shift = shift});
  const std::int64_t heads = c.heads[static_cast<std::size_t>(stage)];
  for (std::int64_t i = 0; i < c.depths[static_cast<std::size_t>(stage)]; ++i) {
    const Scope layer = s / "blocks" / i;
    const ModulePath at_layer(x, layer.path());
    const nn::WindowAttention attention(
        layer / "attention",
        {.hidden_size = width, .heads = heads, .window = c.window_size, .qkv_bias = c.qkv_bias});
    const Value normed = nn::LayerNorm(layer / "layernorm_before", width, c.eps)(x);
    x = op::add(x, attention(normed, i % 2 == 0 ? straight : shifted));
    const nn::Mlp mlp(layer.path(), nn::Linear(layer / "intermediate" / "dense", width, inner),
                      nn::Linear(layer / "output" / "dense", inner, width), c.hidden_act);
    x = op::add(x, mlp(nn::LayerNorm(layer / "layernorm_after", width, c.eps)(x)));
  }
  return x;
}

}  // namespace

ClapAudioConfig::ClapAudioConfig(const PretrainedConfig& c)
    : window_size(c.integer("window_size")),
      mel_bins(c.integer("num_mel_bins")),
      spec_size(c.integer("spec_size")),
      embed_dim(c.integer("patch_embeds_hidden_size")),
      hidden_size(c.integer("hidden_size")),
      patch_size(pair(c, "patch_size")),
      patch_stride(pair(c, "patch_stride")),
      depths(c.integers("depths")),
      heads(c.integers("num_attention_heads")),
      mlp_ratio(c.real("mlp_ratio")),
      eps(c.real("layer_norm_eps")),
      qkv_bias(c.flag("qkv_bias")),
      patch_norm(c.flag("enable_patch_layer_norm")),
      hidden_act(c.string("hidden_act")) {
  // Of the fusion and of training, and keys that the depths repeat.
  c.harmless({"fusion_type", "aff_block_r", "num_classes", "drop_path_rate", "num_hidden_layers"});
  check(c, *this);
}

EncoderStates encode_clap_audio(const Scope& s, const ClapAudioConfig& c, Value input_features) {
  const ModulePath at(input_features, s.path());
  Graph& graph = input_features.graph();
  const nn::BatchNorm2d norm(s / "batch_norm", c.mel_bins);  // of each band
  const Value scaled = op::mul(input_features, graph.weight(norm.scale()));
  const Value image = to_image(c, op::add(scaled, graph.weight(norm.shift())));

  const Scope patch_embed = s / "patch_embed";
  const std::int64_t above = (c.patch_size[0] - c.patch_stride[0]) / 2,
                     left = (c.patch_size[1] - c.patch_stride[1]) / 2;
  const nn::Conv2d proj(patch_embed / "proj", 1, c.embed_dim, {c.patch_size[0], c.patch_size[1]}, true,
                        {.stride = c.patch_stride, .padding = {above, left}});
  const Value patches = proj(image);
  nn::TokenGrid grid = nn::grid_of(patches);
  Value x = nn::image_to_rows(patches);
  if (c.patch_norm) x = nn::LayerNorm(patch_embed / "norm", c.embed_dim, kEps)(x);
  for (std::int64_t stage = 0; stage < c.stages(); ++stage) {
    const Scope layers = s / "layers" / stage;
    x = run_stage(layers, c, stage, x, grid);
    if (stage + 1 == c.stages()) break;
    x = nn::PatchMerging(layers / "downsample", c.width(stage))(x, grid);
    grid = nn::PatchMerging::merged(grid);
  }
  x = nn::LayerNorm(s / "norm", c.hidden_size, kEps)(x);

  // The parts of the time axis side by side again: [B, C, bands, time]
  const std::int64_t rows = *grid.height.constant() / c.parts(), columns = *grid.width.constant();
  const Value stacked = op::reshape(x, {grid.batch, c.parts(), rows, columns, c.hidden_size});
  const Value hidden = op::reshape(op::permute(stacked, {0, 4, 2, 1, 3}),
                                   {grid.batch, c.hidden_size, rows, c.parts() * columns});
  return {hidden, op::mean(op::flatten(hidden, 2, 3), 2)};
}

nn::Mlp clap_projection(const Scope& s, const PretrainedConfig& config) {
  const std::int64_t in = config.integer("hidden_size"), out = config.integer("projection_dim");
  return {s.path(), nn::Linear(s / "linear1", in, out), nn::Linear(s / "linear2", out, out),
          config.string("projection_hidden_act")};
}

TensorType DummyClapAudioInputGenerator::type(std::string_view /*name*/, const DummyContext& context,
                                              const DummyShapes& shapes) const {
  const std::int64_t frames = std::min(shapes.nb_max_frames, frames_);
  return {context.float_dtype, {shapes.batch_size, 1, frames, mel_bins_}};
}

}  // namespace onnxport::models
