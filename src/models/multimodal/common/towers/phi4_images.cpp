// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/phi4_multimodal/modeling_phi4_multimodal.py
#include "models/multimodal/common/towers/phi4_images.h"

#include <memory>
#include <vector>

#include "models/common/division.h"
#include "models/multimodal/common/features/projector.h"
#include "models/multimodal/common/patches/padded_images.h"
#include "models/multimodal/common/towers/clip.h"
#include "onnxport/nn/attention.h"
#include "onnxport/signal_ops.h"
#include "onnxport/text_decoder_config.h"

namespace onnxport::models {
namespace {

PretrainedConfig vision_part(const PretrainedConfig& c) {
  return c.sub("vision_config", "phi4_multimodal_vision");
}

/// Makes an image: the whole and `batch_size` crops side by side, of which the last one ends in padding. With
/// `several`, every second call has another image beside it, of one crop, with whole crops of padding.
class DummyCropsGenerator : public DummyInputGenerator {
 public:
  DummyCropsGenerator(std::int64_t channels, std::int64_t size, std::int64_t patches, bool several)
      : channels_(channels), size_(size), patches_(patches), several_(several) {}
  bool supports_input(std::string_view name) const override {
    return name == "pixel_values" || name == "image_sizes" || name == "image_attention_mask";
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const std::int64_t images = images_in(shapes);
    if (name == "image_sizes") return {context.int_dtype, {images, 2}};
    const bool of_pixels = name == "pixel_values";
    Shape shape = {1 + shapes.batch_size};
    if (several_) shape.insert(shape.begin(), images);
    for (const std::int64_t extent : of_pixels ? std::vector<std::int64_t>{channels_, size_, size_}
                                               : std::vector<std::int64_t>{patches_, patches_})
      shape.emplace_back(extent);
    return {of_pixels || several_ ? context.float_dtype : context.int_dtype, shape};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    if (name == "pixel_values") return random_floats(seed, name, type);
    const std::vector<std::int64_t> values = name == "image_sizes" ? sizes(shapes) : masks(shapes);
    const std::vector<std::int64_t> shape = static_shape(type.shape).value();
    if (type.dtype == context.int_dtype) return Tensor::from_ints(type.dtype, shape, values);
    return Tensor::from_doubles(type.dtype, shape, std::vector<double>(values.begin(), values.end()));
  }

 private:
  std::int64_t images_in(const DummyShapes& shapes) const {
    return several_ && shapes.batch_size % 2 == 0 ? 2 : 1;
  }
  std::vector<std::int64_t> sizes(const DummyShapes& shapes) const {
    std::vector<std::int64_t> values = {size_, size_ * shapes.batch_size};
    if (images_in(shapes) > 1) values.insert(values.end(), {size_, size_});
    return values;
  }
  std::vector<std::int64_t> masks(const DummyShapes& shapes) const {
    std::vector<std::int64_t> values;
    for (std::int64_t crop = 0; crop <= shapes.batch_size; ++crop) {
      const std::int64_t real = crop < shapes.batch_size ? patches_ : (patches_ + 1) / 2;
      for (std::int64_t i = 0; i < patches_ * patches_; ++i) values.push_back(i % patches_ < real ? 1 : 0);
    }
    if (images_in(shapes) > 1) values.insert(values.end(), values.size(), 1);
    return values;
  }

  std::int64_t channels_, size_, patches_;
  bool several_;
};

// Padding is hidden. If there is none at all, the original gives PyTorch's attention no mask, which then
// takes the patches for text: each sees those up to its own. Eager attention does not.
op::AttentionMask visible_patches(Value mask, std::int64_t side, bool eager) {
  const ModulePath at(mask, "attention_mask");
  Graph& graph = mask.graph();
  const Value flat = op::reshape(mask, {mask.dim(0), side * side});
  op::AttentionMask visible = nn::padding_mask(flat);
  if (eager) return visible;
  const Value place = op::arange(graph, side * side);
  const Value query = op::unsqueeze(place, 1);
  const Value before = op::le(op::unsqueeze(place, 0), query);
  const Value padded = op::amax(op::sub(1.0, op::flatten(flat, 0, 1)), 0);
  visible.visible = op::logical_or(before, op::gt(padded, 0.0));
  return visible;
}

// Crops to means of two by two patches: [N, half * half, hidden_size].
Value compressed_patches(const Scope& s, const PretrainedConfig& config, Value pixels, Value mask,
                         bool eager) {
  const ImageTowerConfig c(config);
  const std::int64_t side = c.image_size / c.patch_size, half = (side + 1) / 2;
  const Scope e = s / "embeddings";
  s.ignore("post_layernorm");  // behind the layer that counts
  s.ignore("head");
  Value x = embed_patches(e, c, pixels, true);
  const nn::Embedding table(e / "position_embedding", c.patches(), c.hidden_size);
  const Value positions = table(rectangle_positions(mask, side));
  x = op::add(x, positions);
  const op::AttentionMask visible = visible_patches(mask, side, eager);
  const nn::PreNormEncoder encoder(s / "encoder" / "layers", c.num_hidden_layers, c.layer());
  EncoderStates states{.hidden = x};
  states.layers = encoder.states(x, visible);
  Value patches = layers_of(config, "feature_layer", states);
  if (side % 2 != 0) {
    patches = op::reshape(patches, {patches.dim(0), side, side, c.hidden_size});
    patches = op::pad(patches, {0, 0, 0, 0}, {0, 1, 1, 0}, op::PadMode::reflect);
  }
  const Value squares = op::reshape(patches, {patches.dim(0), half, 2, half, 2, c.hidden_size});
  return op::reshape(op::mean(op::mean(squares, 4), 2), {patches.dim(0), half * half, c.hidden_size});
}

// How many real patches, of every second one, the crops in the first row or column have along it: `line`
// [images, N, side] is that of each crop, `first` tells which crops count, bool [images, N]. -> [images]
Value extent(Value line, Value first, std::int64_t half) {
  const Value even = op::pad(line, {0, 0, 0}, {0, 0, Dim(2 * half) - line.dim(2)});
  const Value kept = op::select(op::reshape(even, {line.dim(0), line.dim(1), half, 2}), 3, 0);
  const Value counts = op::sum(kept, 2);
  return op::sum(op::mul(counts, op::cast(first, DType::i64)), 1);
}

// The crops of images [images]: how many stand below and beside each other, and the real patches they have.
struct CropGrid {
  Value down, across, height, width;
};

CropGrid crop_grid(Value image_sizes, Value mask, std::int64_t crop_size, std::int64_t half) {
  const Value ratios = op::div(image_sizes, static_cast<double>(crop_size));
  const Value down = op::select(ratios, 1, 0), across = op::select(ratios, 1, 1);
  const Value crop = op::sub(op::arange(mask.graph(), mask.dim(1)), 1.0);  // -1: the whole
  const Value is_crop = op::gt(crop, -1.0);
  const Value count = op::unsqueeze(op::mul(down, across), 1);
  const Value inside = op::logical_and(is_crop, op::lt(crop, count));
  const Value columns = op::unsqueeze(across, 1);
  const auto [crop_row, crop_column] = divide(op::maximum(crop, 0.0), columns);
  const Value at_left = op::logical_and(inside, op::eq(crop_column, 0.0));
  const Value at_top = op::logical_and(inside, op::eq(crop_row, 0.0));
  const Value height = extent(op::select(mask, 3, 0), at_left, half);
  const Value width = extent(op::select(mask, 2, 0), at_top, half);
  return {.down = down, .across = across, .height = height, .width = width};
}

// The rows that images take, one image behind the other.
struct ImageRows {
  Value image;   // of each row; absent: there is one image
  Value number;  // of each row among those of its image

  explicit ImageRows(Value counts) {
    const Dim rows = Dim::symbol("num_image_tokens");
    number = op::arange(op::sum(counts, 0), rows);
    if (counts.dim(0) == Dim(1)) return;
    const Value ends = op::cumsum(counts, 0);
    const Value ends_beside = op::unsqueeze(ends, 0);
    const Value behind = op::ge(op::unsqueeze(number, 1), ends_beside);
    image = op::sum(op::cast(behind, DType::i64), 1);
    number = op::sub(number, of_image(op::sub(ends, counts)));
  }
  /// For each row, the value of its image: x [images] -> [rows], or [1].
  Value of_image(Value x) const { return image ? op::gather(x, 0, image) : x; }
};

// Which rows of the patches make up the images, int64 [num_image_tokens]: of each image the crops as one
// image without its padding, a separator, the whole image. A row of patches ends with the number `line_end`.
// image_sizes [images, 2], mask [images, N, side, side].
Value order_of_rows(Value image_sizes, Value mask, std::int64_t crop_size, std::int64_t half) {
  const ModulePath at(mask, "crops");
  Graph& graph = mask.graph();
  const Dim of_image = mask.dim(1) * Dim(half * half), all = mask.dim(0) * of_image;
  const Value line_end = op::size(graph, all), separator = op::size(graph, all + Dim(1));
  const CropGrid grid = crop_grid(image_sizes, mask, crop_size, half);
  const Value lines = op::add(grid.width, 1.0);
  const std::int64_t of_whole = half * (half + 1);
  const Value of_all_crops = op::mul(grid.height, lines);
  const ImageRows rows(op::add(of_all_crops, static_cast<double>(1 + of_whole)));
  const Value number = rows.number, of_crops = rows.of_image(of_all_crops);
  const auto h = static_cast<double>(half);
  const auto [row, column] = divide(number, rows.of_image(lines));
  const auto [row_of_crop, row_inside] = divide(row, h);
  const auto [column_of_crop, column_inside] = divide(column, h);
  const Value before = op::mul(row_of_crop, rows.of_image(grid.across));
  const Value chosen = op::add(op::add(before, column_of_crop), 1.0);
  const Value place = op::add(op::mul(row_inside, h), column_inside);
  const Value in_crop = op::add(op::mul(chosen, h * h), place);

  const Value behind = op::maximum(op::sub(op::sub(number, of_crops), 1.0), 0.0);
  const auto [whole_row, whole_column] = divide(behind, h + 1);
  const Value in_whole = op::add(op::mul(whole_row, h), whole_column);
  const auto placed = [&](Value inside) {
    if (!rows.image) return inside;
    const Value first = op::mul(rows.image, op::size(graph, of_image));
    return op::add(inside, first);
  };
  const Value at_line_end = op::eq(column, rows.of_image(grid.width));
  const Value crop_patch = op::where(at_line_end, line_end, placed(in_crop));
  const Value whole_patch = op::where(op::eq(whole_column, h), line_end, placed(in_whole));
  const Value rest = op::where(op::eq(number, of_crops), separator, whole_patch);
  return op::where(op::lt(number, of_crops), crop_patch, rest);
}

}  // namespace

Value phi4_image_features(const Scope& s, const PretrainedConfig& whole, const Inputs& inputs) {
  const PretrainedConfig config = vision_part(whole);
  Value pixels = inputs["pixel_values"];
  Value mask = op::cast(inputs["image_attention_mask"], DType::i64), flat = mask;
  if (mask.shape().size() == 4) {
    pixels = op::flatten(pixels, 0, 1);
    flat = op::flatten(mask, 0, 1);
  } else {
    mask = op::unsqueeze(mask, 0);
  }
  config.harmless({"image_token_id"});  // for those who feed the files
  const Value patches = compressed_patches(s / "img_processor", config, pixels, flat, eager_attention(whole));
  const std::int64_t hidden = *patches.dim(2).constant(), places = *patches.dim(1).constant();
  std::int64_t half = 1;
  while (half * half < places) ++half;
  const Value order = order_of_rows(inputs["image_sizes"], mask, divisor(config, "crop_size"), half);
  const ModulePath at(patches, s.path());
  Graph& graph = patches.graph();
  const Value line_end =
      graph.weight(s.weight("sub_img_feature_extensor", {1, 1, 1, hidden}).reshape({1, hidden}));
  const Value separator =
      graph.weight(s.weight("global_img_feature_extensor", {1, 1, hidden}).reshape({1, hidden}));
  const Value rows = op::concat({op::flatten(patches, 0, 1), line_end, separator}, 0);
  const TwoLayerProjector project(s, {.in = hidden,
                                      .out = whole.unaccounted().integer("hidden_size"),
                                      .first = "img_projection_up",
                                      .second = "img_projection_down"});
  return project(op::embedding(rows, order));
}

DummyInputGenerators phi4_image_dummies(const PretrainedConfig& whole, bool several) {
  const ImageTowerConfig tower(vision_part(whole));
  return {std::make_shared<const DummyCropsGenerator>(tower.num_channels, tower.image_size,
                                                      tower.image_size / tower.patch_size, several)};
}

}  // namespace onnxport::models
