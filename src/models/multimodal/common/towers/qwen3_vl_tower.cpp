#include "models/multimodal/common/towers/qwen3_vl_tower.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

constexpr double kEps = 1e-6;

// Places 0, 1, …, n - 1 of a side stretched over 0 … grid - 1, as torch.linspace counts them: from both ends.
Value stretched(Value place, Value extent, std::int64_t grid) {
  const Value last = op::sub(extent, 1.0);
  const Value steps = op::cast(op::maximum(last, 1.0), DType::f32);
  const auto end = static_cast<double>(grid - 1);
  const Value step = op::div(op::scalar(place.graph(), end, DType::f32), steps);
  const Value forward = op::mul(step, op::cast(place, DType::f32));
  const Value left = op::mul(step, op::cast(op::sub(last, place), DType::f32));
  const Value backward = op::sub(op::scalar(place.graph(), end, DType::f32), left);
  const Value first_half = op::lt(place, op::div(extent, 2.0));
  const Value alone = op::lt(extent, 2.0);  // then at 0
  return op::where(op::logical_or(first_half, alone), forward, backward);
}

struct Corner {
  Value low, high;  // places in the table, int64 [N]
  Value near, far;  // their weights, float32 [N]
};

Corner corner(Value at, std::int64_t grid) {
  const Value low = op::cast(at, DType::i64);
  const Value high = op::minimum(op::add(low, 1.0), static_cast<double>(grid - 1));
  const Value far = op::sub(at, op::cast(low, DType::f32));
  return {low, high, op::sub(op::scalar(at.graph(), 1.0, DType::f32), far), far};
}

// The table of positions [grid * grid, H], resampled for each image: [N, H].
Value positions(const Scope& s, const Qwen3VlTowerConfig& c, const PatchPlaces& places, Value grid_thw) {
  Graph& graph = grid_thw.graph();
  const ModulePath at(graph, s.path());
  const auto of = [&](std::int64_t axis) {
    return op::embedding(op::select(grid_thw, 1, axis), places.image);
  };
  const Corner row = corner(stretched(places.row, of(1), c.grid), c.grid);
  const Corner column = corner(stretched(places.column, of(2), c.grid), c.grid);
  const Value table = graph.weight(s.weight("weight", {c.grid * c.grid, c.hidden_size}));
  const auto term = [&](Value y, Value x, Value down, Value across) {
    const Value index = op::add(op::mul(y, static_cast<double>(c.grid)), x);
    const Value weight = op::unsqueeze(op::cast(op::mul(down, across), graph.float_dtype()), 1);
    return op::mul(op::embedding(table, index), weight);
  };
  const Value first = term(row.low, column.low, row.near, column.near);
  const Value second = term(row.low, column.high, row.near, column.far);
  const Value third = term(row.high, column.low, row.far, column.near);
  const Value fourth = term(row.high, column.high, row.far, column.far);
  return op::add(op::add(op::add(first, second), third), fourth);
}

Value block(const Scope& s, const Qwen3VlTowerConfig& c, Value x, const PatchAttention& attend) {
  const ModulePath at(x, s.path());
  const nn::LayerNorm before_attention(s / "norm1", c.hidden_size, kEps),
      before_mlp(s / "norm2", c.hidden_size, kEps);
  x = op::add(x, attend(s / "attn", before_attention(x)));
  const Scope m = s / "mlp";
  const nn::Linear up(m / "linear_fc1", c.hidden_size, c.inner),
      down(m / "linear_fc2", c.inner, c.hidden_size);
  const Value wide = up(before_mlp(x));
  return op::add(x, down(nn::Activation(c.hidden_act)(wide)));
}

Value merged(const Scope& s, const Qwen3VlTowerConfig& c, Value x, bool norm_squares) {
  const std::int64_t square = c.hidden_size * c.side * c.side;
  const ModulePath at(x, s.path());
  if (norm_squares) x = op::reshape(x, {c.squares_of(x.dim(0)), square});
  const Value normed = nn::LayerNorm(s / "norm", norm_squares ? square : c.hidden_size, kEps)(x);
  return merge_patches(s, {"linear_fc1", "linear_fc2"}, c, normed, c.out);
}

}  // namespace

Qwen3VlTowerConfig::Qwen3VlTowerConfig(const PretrainedConfig& c)
    : PatchTowerConfig(c.settled("depth", std::to_string(c.integer("depth", 27)))
                           .settled("patch_size", std::to_string(c.integer("patch_size", 16))),
                       c.integer("hidden_size", 1152)),
      inner(c.integer("intermediate_size", 4304)),
      out(c.integer("out_hidden_size", 3584)),
      grid(static_cast<std::int64_t>(
          std::sqrt(static_cast<double>(c.integer("num_position_embeddings", 2304))))),
      hidden_act(c.string("hidden_act", "gelu_pytorch_tanh")) {
  if (c.has("deepstack_visual_indexes")) deepstack = c.integers("deepstack_visual_indexes");
  c.harmless({"initializer_range"});
  if (grid < 1)
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: num_position_embeddings must be at least 1", c.origin()));
  for (const std::int64_t layer : deepstack) {
    if (layer >= 0 && layer < depth) continue;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: deepstack_visual_indexes names layer {}, which the tower's {} layers lack",
                    c.origin(), layer, depth));
  }
}

Value encode_qwen3_vl(const Scope& s, const Inputs& inputs, const Qwen3VlTowerConfig& c) {
  const Value patches = inputs["pixel_values"], grid = inputs["image_grid_thw"];
  const PatchPlaces places = patch_places(grid, patches.dim(0), c.side);
  const PatchAttention attend(c, places, same_frame(places));
  Value x = embed_patch_rows(s / "patch_embed" / "proj", c, patches, true);
  x = op::add(x, positions(s / "pos_embed", c, places, grid));
  std::vector<Value> features(1 + c.deepstack.size());
  for (std::int64_t i = 0; i < c.depth; ++i) {
    x = block(s / "blocks" / i, c, x, attend);
    const auto found = std::find(c.deepstack.begin(), c.deepstack.end(), i);
    if (found == c.deepstack.end()) continue;
    const auto number = found - c.deepstack.begin();
    features[static_cast<std::size_t>(1 + number)] = merged(s / "deepstack_merger_list" / number, c, x, true);
  }
  features[0] = merged(s / "merger", c, x, false);
  return features.size() == 1 ? features[0] : op::concat(features, 1);
}

}  // namespace onnxport::models
