#include "models/vision/common/feature_levels.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "models/vision/common/detector.h"
#include "onnxport/error.h"
#include "onnxport/nn/activation.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kGroups = 32;

// The real part of a map's width and height, from its first row and column: seen, bool [B, H, W] -> [B, 1,
// 2].
Value real_parts(Value seen) {
  Graph& graph = seen.graph();
  const Value real = op::cast(seen, DType::f32);
  const auto part = [&](std::int64_t other, std::int64_t axis) {
    const Value count = op::sum(op::select(real, other, 0), 1, true);
    return op::div(count, op::cast(op::size(graph, seen.dim(axis)), DType::f32));
  };
  const Value width = part(1, 2);
  return op::unsqueeze(op::concat({width, part(2, 1)}, 1), 1);
}

// The centres of the pixels of each map, as parts of the real area: float32 [1 or B, rows, columns, 2].
std::vector<Value> centres(const FeatureLevels& maps) {
  Graph& graph = maps.tokens.graph();
  std::vector<Value> all;
  for (std::size_t i = 0; i < maps.sizes.size(); ++i) {
    const auto& [rows, columns] = maps.sizes[i];
    const Shape shape = {rows, columns, 1};
    const auto line = [&](const Dim& extent) {
      const Value place = op::add(op::cast(op::arange(graph, extent), DType::f32), 0.5);
      return op::div(place, op::cast(op::size(graph, extent), DType::f32));
    };
    const Value x = op::expand(op::reshape(line(columns), {1, columns, 1}), shape);
    const Value y = op::expand(op::reshape(line(rows), {rows, 1, 1}), shape);
    Value both = op::unsqueeze(op::concat({x, y}, 2), 0);
    if (maps.ratios) {
      const auto level = static_cast<std::int64_t>(i);
      const Value ratio = op::unsqueeze(op::slice(maps.ratios, 1, level, level + 1), 1);
      both = op::div(both, ratio);
    }
    all.push_back(both);
  }
  return all;
}

Value as_tokens(Value map) { return op::reshape(map, {map.dim(0), map.dim(1) * map.dim(2), map.dim(3)}); }

}  // namespace

FeatureLevels feature_levels(const Scope& s, const FeatureLevelParameters& p, std::vector<Value> features,
                             Value pixel_mask) {
  if (std::ssize(features) > p.levels || p.width % kGroups != 0) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: {} features of the backbone for {} levels of width {}: expected at most "
                    "one for each level, and a multiple of {}",
                    s.path(), features.size(), p.levels, p.width, kGroups));
  }
  const ModulePath at(features.front(), s.path());
  FeatureLevels maps;
  const Weight embedding = s.weight(p.embedding, {p.levels, p.width});
  std::vector<Value> tokens, positions, seen, ratios;
  Value source = features.back();
  for (std::int64_t i = 0; i < p.levels; ++i) {
    const bool own = i < std::ssize(features);
    if (own) source = features[static_cast<std::size_t>(i)];
    if (i == std::ssize(features)) source = features.back();
    const Scope projection = s / p.projection / i;
    const nn::Conv2d conv = own ? nn::Conv2d(projection / 0, *source.dim(1).constant(), p.width, {1, 1})
                                : nn::Conv2d(projection / 0, *source.dim(1).constant(), p.width, {3, 3}, true,
                                             {.stride = {2, 2}, .padding = {1, 1}});
    source = nn::GroupNorm(projection / 1, kGroups, p.width)(conv(source));
    const Value mask = mask_at(pixel_mask, source);
    const Value level = source.graph().weight(embedding.slice(0, i, i + 1));
    positions.push_back(op::add(p.positions(source, mask), level));
    tokens.push_back(nn::image_to_tokens(source));
    maps.sizes.push_back({source.dim(2), source.dim(3)});
    if (!mask) continue;
    seen.push_back(op::flatten(mask, 1, 2));
    ratios.push_back(real_parts(mask));
  }
  maps.tokens = op::concat(tokens, 1);
  maps.positions = op::concat(positions, 1);
  if (pixel_mask) {
    maps.seen = op::concat(seen, 1);
    maps.ratios = op::concat(ratios, 1);
  }
  return maps;
}

FeatureLevels feature_level(Value image, Value pixel_mask) {
  FeatureLevels maps{.tokens = nn::image_to_tokens(image), .sizes = {{image.dim(2), image.dim(3)}}};
  if (const Value mask = mask_at(pixel_mask, image)) {
    maps.seen = op::flatten(mask, 1, 2);
    maps.ratios = real_parts(mask);
  }
  return maps;
}

Value pixel_references(const FeatureLevels& maps) {
  std::vector<Value> all;
  for (const Value& map : centres(maps)) all.push_back(as_tokens(map));
  return level_references(maps, op::concat(all, 1));
}

Value level_references(const FeatureLevels& maps, Value boxes) {
  Value each = op::unsqueeze(boxes, 2);
  if (!maps.ratios) return each;
  const Value ratios = op::unsqueeze(maps.ratios, 1);
  return op::mul(each, boxes.dim(2) == Dim(4) ? op::concat({ratios, ratios}, 3) : ratios);
}

Value deformable_layer(const Scope& s, const DeformableLayerParameters& p, Value x, const FeatureLevels& maps,
                       Value references) {
  const std::int64_t width = p.attention.width;
  const ModulePath at(x, s.path());
  const nn::DeformableAttention attention(s / "self_attn", p.attention);
  const Value attended = attention(op::add(x, maps.positions), references, x, maps.sizes, maps.seen);
  x = nn::LayerNorm(s / "self_attn_layer_norm", width, p.eps)(op::add(x, attended));
  const Value inner = nn::Activation(p.activation)(nn::Linear(s / "fc1", width, p.inner)(x));
  const Value out = nn::Linear(s / "fc2", p.inner, width)(inner);
  return nn::LayerNorm(s / "final_layer_norm", width, p.eps)(op::add(x, out));
}

PixelBoxes pixel_boxes(const FeatureLevels& maps) {
  Graph& graph = maps.tokens.graph();
  std::vector<Value> all;
  double side = 0.05;
  for (const Value& map : centres(maps)) {
    const Value extent = op::expand(op::scalar(graph, side, DType::f32), map.shape());
    all.push_back(as_tokens(op::concat({map, extent}, 3)));
    side *= 2;
  }
  const Value boxes = op::concat(all, 1);
  const Value above = op::gt(boxes, 0.01);
  const Value inside = op::logical_and(above, op::lt(boxes, 0.99));
  const Value outside = op::cast(op::logical_not(inside), DType::f32);
  Value valid = op::eq(op::amax(outside, 2, true), 0);
  if (maps.seen) valid = op::logical_and(valid, op::unsqueeze(maps.seen, 2));
  const Value logits = op::log(op::div(boxes, op::sub(1.0, boxes)));
  const double infinity = std::numeric_limits<double>::infinity();
  return {op::where(valid, logits, op::scalar(graph, infinity, DType::f32)), valid};
}

}  // namespace onnxport::models
