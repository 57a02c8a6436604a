// LLaVA-NeXT: LLaVA with tiles of one large image: a view of the whole, and a grid of tiles that comes
// closest to the image's shape, without the padding. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/llava_next/modeling_llava_next.py
#include <fmt/format.h>

#include <algorithm>

#include "models/multimodal/common/decoders/multimodal_decoder.h"
#include "models/multimodal/common/features/projector.h"
#include "onnxport/error.h"
#include "onnxport/signal_ops.h"

namespace onnxport::models {
namespace {

using Sizes = std::vector<std::vector<std::int64_t>>;

constexpr std::int64_t kLargest = 65536;  // side of a grid, in pixels

// The sizes of the grids in pixels, [height, width] each.
Sizes grid_sizes(const PretrainedConfig& c, std::int64_t tile) {
  Sizes sizes = {{336, 672}, {672, 336}, {672, 672}, {1008, 336}, {336, 1008}};
  if (c.has("image_grid_pinpoints")) sizes = c.integer_lists("image_grid_pinpoints");
  for (const auto& size : sizes) {
    const bool pair = size.size() == 2 && std::min(size[0], size[1]) >= tile && tile > 0;
    if (pair && std::max(size[0], size[1]) <= kLargest && size[0] % tile == 0 && size[1] % tile == 0)
      continue;
    throw ExportError(
        ErrorCode::bad_config,
        fmt::format("{}: image_grid_pinpoints must hold pairs of multiples of {}, the image_size "
                    "of vision_config, up to {}",
                    c.origin(), tile, kLargest));
  }
  if (sizes.empty())
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: image_grid_pinpoints is empty", c.origin()));
  return sizes;
}

// An image's extents in one unit, int64 [].
struct Extents {
  Value height, width;
};

// The grid for an image, in tiles: the one that keeps most of the image's pixels, and of those the one with
// the least area. The image is scaled in float64, as the original does it.
Extents best_grid(Graph& graph, const Sizes& sizes, std::int64_t tile, const Extents& image) {
  const auto count = static_cast<std::int64_t>(sizes.size());
  std::vector<double> heights, widths, areas;
  std::vector<std::int64_t> rows, columns;
  for (const auto& size : sizes) {
    heights.push_back(static_cast<double>(size[0]));
    widths.push_back(static_cast<double>(size[1]));
    areas.push_back(heights.back() * widths.back());
    rows.push_back(size[0] / tile);
    columns.push_back(size[1] / tile);
  }
  const auto constant = [&](const std::vector<double>& values) {
    return graph.weight_as_is(Weight::from_doubles(DType::f64, {count}, values));
  };
  const Value height = op::cast(image.height, DType::f64), width = op::cast(image.width, DType::f64);
  const Value across = op::div(constant(widths), width);
  const Value scale = op::minimum(across, op::div(constant(heights), height));
  const auto scaled = [&](Value extent) {
    return op::cast(op::cast(op::mul(scale, extent), DType::i64), DType::f64);
  };
  const Value scaled_width = scaled(width);
  const Value scaled_pixels = op::mul(scaled_width, scaled(height));
  const Value pixels = op::minimum(scaled_pixels, op::mul(height, width));
  const Value unused = op::sub(constant(areas), pixels);
  const Value most = op::eq(pixels, op::amax(pixels, 0, true));
  const Value never = op::scalar(graph, 1e300, DType::f64);
  const Value best = op::argmax(op::neg(op::where(most, unused, never)), 0);
  const auto of_best = [&](const std::vector<std::int64_t>& values) {
    return op::embedding(graph.weight_as_is(Weight::from_ints({count}, values)), best);
  };
  const Value best_rows = of_best(rows);
  return {best_rows, of_best(columns)};
}

// The part of a grid that an image fills: `before` is cut off on both sides of it.
struct Cut {
  Value before, kept;
};

// `over`: the image reaches the edges of the other axis, and is extent * other_grid / other here.
Cut cut_padding(Value over, Value grid, Value extent, Value other_grid, Value other) {
  const Value filled = op::where(over, op::div(op::mul(extent, other_grid), other), grid);
  const Value before = op::div(op::sub(grid, filled), 2.0);
  return {before, op::sub(grid, op::mul(before, 2.0))};
}

// Number of the row of [patches of all views, a new line] that becomes each token: the whole image, then the
// grid's patches row by row, each row with a new line. An image of one view has one new line.
Value token_sources(Graph& graph, const Sizes& sizes, std::int64_t tile, std::int64_t side, const Dim& views,
                    Value image_sizes) {
  const ModulePath at(graph, "tiles");
  const auto s = static_cast<double>(side), of_view = s * s;
  const Value image_size = op::select(image_sizes, 0, 0);
  const Extents image = {op::select(image_size, 0, 0), op::select(image_size, 0, 1)};
  const Extents tiles = best_grid(graph, sizes, tile, image);
  const Extents grid = {op::mul(tiles.height, s), op::mul(tiles.width, s)};
  const Value wide = op::mul(image.width, grid.height);
  const Value by_width = op::gt(wide, op::mul(image.height, grid.width));
  const Cut vertical = cut_padding(by_width, grid.height, image.height, grid.width, image.width);
  const Cut horizontal =
      cut_padding(op::logical_not(by_width), grid.width, image.width, grid.height, image.height);

  const Value alone = op::eq(op::size(graph, views), 1.0);
  const Value one = op::scalar(graph, 1, DType::i64);
  const Value rows = op::where(alone, one, vertical.kept);
  const Value columns = op::where(alone, op::scalar(graph, 0, DType::i64), horizontal.kept);
  const Value line = op::add(columns, 1.0);
  const Value count = op::add(op::mul(rows, line), of_view);
  const Value token = op::arange(count, Dim::symbol("num_image_tokens"));

  const Value in_grid = op::maximum(op::sub(token, of_view), 0.0);
  const Value kept_row = op::div(in_grid, line);
  const Value kept_column = op::sub(in_grid, op::mul(kept_row, line));
  const Value row = op::add(kept_row, vertical.before), column = op::add(kept_column, horizontal.before);
  const Value tile_row = op::div(row, s), tile_column = op::div(column, s);
  const Value view = op::add(op::mul(tile_row, tiles.width), tile_column);
  const Value cell_row = op::sub(row, op::mul(tile_row, s));
  const Value cell_column = op::sub(column, op::mul(tile_column, s));
  const Value cell = op::add(op::mul(cell_row, s), cell_column);
  const Value patch = op::add(op::add(op::mul(view, of_view), of_view), cell);
  const Value newline = op::size(graph, views * (side * side));
  const Value source = op::where(op::eq(kept_column, columns), newline, patch);
  return op::where(op::lt(token, of_view), token, source);
}

Value encode(const TasksManager& tasks, const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const PretrainedConfig vision = c.sub("vision_config");
  const std::int64_t tile = vision.integer("image_size"), side = tile / divisor(vision, "patch_size");
  const Sizes sizes = grid_sizes(c, tile);
  const Value features = llava_features(tasks, inputs, model);
  const Dim& views = features.dim(0);
  const std::int64_t width = *features.dim(2).constant();
  if (features.dim(1) != Dim(side * side)) {
    throw ExportError(ErrorCode::bad_config, fmt::format("{}: a tile gives {} tokens, expected {} by {}",
                                                         c.origin(), to_string(features.type()), side, side));
  }
  Graph& graph = features.graph();
  const Value sources = token_sources(graph, sizes, tile, side, views, inputs["image_sizes"]);
  const ModulePath at(graph, "image_newline");
  const Value newline = graph.weight(model.scope().weight("image_newline", {width}).reshape({1, width}));
  const Value patches = op::reshape(features, {views * (side * side), width});
  return op::embedding(op::concat({patches, newline}, 0), sources);
}

// The tiles of an image that fills one of the grids.
class DummyTilesGenerator : public DummyInputGenerator {
 public:
  DummyTilesGenerator(Sizes sizes, std::int64_t channels, std::int64_t tile)
      : sizes_(std::move(sizes)), channels_(channels), tile_(tile) {}
  bool supports_input(std::string_view name) const override {
    return name == "pixel_values" || name == "image_sizes";
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    if (name == "image_sizes") return {context.int_dtype, {1, 2}};
    const auto& size = grid(shapes);
    return {context.float_dtype, {1 + (size[0] / tile_) * (size[1] / tile_), channels_, tile_, tile_}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    if (name == "pixel_values") return random_floats(seed, name, type);
    return Tensor::from_ints(type.dtype, {1, 2}, grid(shapes));
  }

 private:
  const std::vector<std::int64_t>& grid(const DummyShapes& shapes) const {
    return sizes_[static_cast<std::size_t>(shapes.batch_size) % sizes_.size()];
  }
  Sizes sizes_;
  std::int64_t channels_, tile_;
};

class LlavaNextOnnxConfig : public MultimodalDecoderOnnxConfig {
 public:
  using MultimodalDecoderOnnxConfig::MultimodalDecoderOnnxConfig;

 protected:
  AxesByName encoder_inputs() const override {
    return {{"pixel_values", {{0, "num_patches"}}}, {"image_sizes", {}}};
  }
  AxesByName encoder_outputs() const override { return {{"image_features", {{0, "num_image_tokens"}}}}; }
  DummyInputGenerators encoder_dummies() const override {
    const PretrainedConfig vision = vision_config();
    const std::int64_t tile = vision.integer("image_size");
    return {std::make_shared<const DummyTilesGenerator>(grid_sizes(config().unaccounted(), tile),
                                                        vision.integer("num_channels"), tile)};
  }
};

}  // namespace

void register_llava_next(TasksManager& tasks) {
  register_multimodal_decoder<LlavaNextOnnxConfig>(
      tasks, {.model_type = "llava_next",
              .forward = image_text_forward(tasks, encode, {"image_token_index", "image_seq_length"}),
              .ignorable_keys = {"*.embeddings.position_ids"},
              .key_names = multimodal_key_names({"multi_modal_projector", "image_newline"})});
}

}  // namespace onnxport::models
