#include "models/vision/common/masked_decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "models/vision/common/detr.h"
#include "models/vision/common/image_positions.h"
#include "onnxport/error.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/conv.h"
#include "onnxport/nn/deformable_attention.h"
#include "onnxport/nn/mlp.h"
#include "onnxport/nn/packed_attention.h"
#include "onnxport/nn/vision.h"

namespace onnxport::models {
namespace {

constexpr std::int64_t kGroups = 32;  // of the norms of images; not configurable
constexpr std::int64_t kPoints = 4;   // that a pixel looks at in each level; not configurable

Value sines(const Scope& s, Value image, std::int64_t width) {
  return ImagePositions(s, ImagePositionsKind::sine, width)(image);
}

// Keys: 0, a convolution, and 1, its norm.
Value normed(const Scope& s, std::int64_t width, std::int64_t kernel, bool bias, Value image) {
  const std::int64_t in = *image.dim(1).constant(), around = kernel / 2;
  const nn::Conv2d convolution(s / 0, in, width, {kernel, kernel}, bias, {.padding = {around, around}});
  return nn::GroupNorm(s / 1, kGroups, width)(convolution(image));
}

// The centres of `count` pixels in a row, as fractions of it: float32 [count].
Value centres(Graph& graph, const Dim& count) {
  const Value numbers = op::add(op::cast(op::arange(graph, count), DType::f32), 0.5);
  return op::div(numbers, op::cast(op::size(graph, count), DType::f32));
}

// Where the pixels of all levels lie in their images: float32 [1, all pixels, 1, 2].
Value places(const std::vector<Value>& levels) {
  Graph& graph = levels.front().graph();
  std::vector<Value> all;
  for (const Value& image : levels) {
    const Dim& rows = image.dim(2);
    const Dim& columns = image.dim(3);
    const Value across = op::reshape(centres(graph, columns), {1, columns, 1});
    const Value down = op::reshape(centres(graph, rows), {rows, 1, 1});
    const Value x = op::expand(across, {rows, columns, 1});
    const Value both = op::concat({x, op::expand(down, {rows, columns, 1})}, 2);
    all.push_back(op::reshape(both, {1, rows * columns, 1, 2}));
  }
  return op::concat(all, 1);
}

// A layer of the encoder of pixels. x [B, all pixels, width]
Value encoder_layer(const Scope& s, const PixelDecoderConfig& c, Value x, Value positions, Value places,
                    const std::vector<nn::MapSize>& sizes) {
  const ModulePath at(x, s.path());
  const nn::DeformableAttention attention(
      s / "self_attn", {.width = c.width, .heads = c.heads, .points = {kPoints, kPoints, kPoints}});
  const nn::LayerNorm norm(s / "self_attn_layer_norm", c.width, c.eps);
  const nn::LayerNorm last(s / "final_layer_norm", c.width, c.eps);
  const nn::Mlp mlp(s.path(), {s / "fc1", c.width, c.inner}, {s / "fc2", c.inner, c.width}, "relu");
  const Value attended = attention(op::add(x, positions), places, x, sizes);
  x = norm(op::add(x, attended));
  return last(op::add(x, mlp(x)));
}

// The pixels that a query sees, from the masks [B, Q, H, W]: bool [B, 1, Q, rows * columns]. A query whose
// mask is empty sees all of them.
Value seen(Value masks, const Dim& rows, const Dim& columns) {
  const Value smaller = op::interpolate(masks, {rows, columns}, "linear");
  const Value logits = op::unsqueeze(op::flatten(smaller, 2, 3), 1);
  const Value inside = op::logical_not(op::lt(logits, 0.0));
  const Value empty = op::lt(op::amax(logits, -1, true), 0.0);
  return op::logical_or(inside, empty);
}

}  // namespace

PixelDecoderConfig::PixelDecoderConfig(const PretrainedConfig& c, const char* width_key,
                                       const char* mask_width_key, const char* strides_key)
    : width(c.integer(width_key)),
      mask_width(c.integer(mask_width_key)),
      inner(c.integer("encoder_feedforward_dim")),
      layers(c.integer("encoder_layers")),
      heads(c.integer("num_attention_heads")) {
  check_multiple(c, width_key, width, "num_attention_heads", heads);
  check_multiple(c, width_key, width, "the groups of its norms", kGroups);
  const std::vector<std::int64_t> strides = c.integers(strides_key);
  const std::int64_t common = c.integer("common_stride");
  const bool positive = std::all_of(strides.begin(), strides.end(), [](std::int64_t s) { return s > 0; });
  if (strides.size() < kMaskLevels || !positive || common < 1) {
    throw ExportError(ErrorCode::bad_config,
                      fmt::format("{}: {} is [{}] and common_stride {}, expected at "
                                  "least {} positive numbers",
                                  c.origin(), strides_key, fmt::join(strides, ", "), common, kMaskLevels));
  }
  const std::int64_t least = *std::min_element(strides.end() - kMaskLevels, strides.end());
  finer_levels = static_cast<std::int64_t>(std::log2(static_cast<double>(least)) -
                                           std::log2(static_cast<double>(common)));
}

DecodedPixels decode_pixels(const Scope& s, const PixelDecoderConfig& c, const std::vector<Value>& features) {
  const ModulePath at(features.front(), s.path());
  const std::int64_t count = std::ssize(features);
  if (count < static_cast<std::int64_t>(kMaskLevels) || c.finer_levels < 0 || c.finer_levels > count) {
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("a decoder of pixels takes {} features of the backbone for its encoder, and "
                    "{} for finer pixels; got {}",
                    kMaskLevels, c.finer_levels, count));
  }
  const Weight levels = s.weight("level_embed", {static_cast<std::int64_t>(kMaskLevels), c.width});
  DecodedPixels decoded;
  std::vector<Value> tokens, positions;
  std::vector<Dim> counts;
  for (std::size_t i = 0; i < kMaskLevels; ++i) {
    const auto level = static_cast<std::int64_t>(i);
    const Value image =
        normed(s / "input_projections" / level, c.width, 1, true, *(features.rbegin() + level));
    const Value own = image.graph().weight(levels.slice(0, level, level + 1).reshape({1, 1, c.width}));
    decoded.levels.push_back(image);
    tokens.push_back(nn::image_to_tokens(image));
    positions.push_back(op::add(sines(s / "position_embedding", image, c.width), own));
    counts.push_back(image.dim(2) * image.dim(3));
  }
  const std::vector<nn::MapSize> sizes = nn::sizes_of(decoded.levels);
  const Value at_places = places(decoded.levels);
  Value x = op::concat(tokens, 1);
  const Value placed = op::concat(positions, 1);
  for (std::int64_t i = 0; i < c.layers; ++i)
    x = encoder_layer(s / "encoder" / "layers" / i, c, x, placed, at_places, sizes);

  Dim begin = 0;
  for (std::size_t i = 0; i < kMaskLevels; ++i) {
    Value& image = decoded.levels[i];
    image = nn::tokens_to_image(op::slice(x, 1, begin, begin + counts[i]), image.dim(2), image.dim(3));
    begin = begin + counts[i];
  }
  Value finest = decoded.levels.back();
  for (std::int64_t i = c.finer_levels; i > 0; --i) {
    const Value& feature = features[static_cast<std::size_t>(i - 1)];
    const Value own = normed(s / fmt::format("adapter_{}", i), c.width, 1, false, feature);
    const Value larger = op::interpolate(finest, {own.dim(2), own.dim(3)}, "linear");
    finest = op::relu(normed(s / fmt::format("layer_{}", i), c.width, 3, false, op::add(own, larger)));
  }
  decoded.pixels = nn::Conv2d(s / "mask_projection", c.width, c.mask_width, {1, 1})(finest);
  return decoded;
}

Value MaskedLayers::operator()(const Scope& s, const std::vector<Value>& levels, Value queries, Value asking,
                               const std::function<Value(Value)>& masks) const {
  const ModulePath at(queries, s.path());
  Graph& graph = queries.graph();
  const auto kinds = static_cast<std::int64_t>(levels.size());
  const Weight kind = (s / "level_embed").weight("weight", {kinds, width});
  std::vector<Value> memories, placed;
  for (std::int64_t i = 0; i < kinds; ++i) {
    const Value& image = levels[static_cast<std::size_t>(i)];
    const Value tokens = nn::image_to_tokens(image);
    memories.push_back(op::add(tokens, graph.weight(kind.slice(0, i, i + 1).reshape({1, 1, width}))));
    placed.push_back(op::add(memories.back(), sines(s / "position_embedder", image, width)));
  }
  Value x = op::expand(queries, {levels.front().dim(0), queries.dim(1), width});
  for (std::int64_t i = 0; i < count; ++i) {
    const Scope layer = s / "decoder" / "layers" / i;
    const ModulePath at_layer(x, layer.path());
    const auto level = static_cast<std::size_t>(i % kinds);
    const Value& image = levels[level];
    const op::AttentionMask mask = {.visible = seen(masks(x), image.dim(2), image.dim(3))};
    const auto residual = [&](const std::string& name, const std::function<Value(Value)>& part) {
      const nn::LayerNorm norm_of(layer / name, width, eps);
      x = norms_before ? op::add(x, part(norm_of(x))) : norm_of(op::add(x, part(x)));
    };
    residual(cross_norm, [&](Value y) {
      const nn::PackedAttention attention(layer / cross, width, heads);
      return attention(op::add(y, asking), placed[level], memories[level], mask);
    });
    residual(self_norm, [&](Value y) {
      const Value own = op::add(y, asking);
      return DetrAttention(layer / self, width, heads)(own, own, y);
    });
    residual(norm,
             nn::Mlp(layer.path(), {layer / up, width, inner}, {layer / down, inner, width}, activation));
  }
  return x;
}

}  // namespace onnxport::models
