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

/// Makes one image: the whole and `batch_size` crops side by side, of which the last one ends in padding.
class DummyCropsGenerator : public DummyInputGenerator {
 public:
  DummyCropsGenerator(std::int64_t channels, std::int64_t size, std::int64_t patches)
      : channels_(channels), size_(size), patches_(patches) {}
  bool supports_input(std::string_view name) const override {
    return name == "pixel_values" || name == "image_sizes" || name == "image_attention_mask";
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const std::int64_t all = 1 + shapes.batch_size;
    if (name == "pixel_values") return {context.float_dtype, {all, channels_, size_, size_}};
    if (name == "image_sizes") return {context.int_dtype, {1, 2}};
    return {context.int_dtype, {all, patches_, patches_}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    if (name == "pixel_values") return random_floats(seed, name, type);
    std::vector<std::int64_t> values = {size_, size_ * shapes.batch_size};
    if (name == "image_attention_mask") {
      values.clear();
      for (std::int64_t crop = 0; crop <= shapes.batch_size; ++crop) {
        const std::int64_t real = crop < shapes.batch_size ? patches_ : (patches_ + 1) / 2;
        for (std::int64_t i = 0; i < patches_ * patches_; ++i) values.push_back(i % patches_ < real ? 1 : 0);
      }
    }
    return Tensor::from_ints(type.dtype, static_shape(type.shape).value(), values);
  }

 private:
  std::int64_t channels_, size_, patches_;
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
// [N, side] is that of each crop, `first` tells which crops count, bool [N].
Value extent(Value line, Value first, std::int64_t half) {
  const Value even = op::pad(line, {0, 0}, {0, Dim(2 * half) - line.dim(1)});
  const Value kept = op::select(op::reshape(even, {line.dim(0), half, 2}), 2, 0);
  const Value counts = op::sum(kept, 1);
  return op::sum(op::mul(counts, op::cast(first, DType::i64)), 0);
}

// Which rows of the patches make up the image, int64 [num_image_tokens]: the crops as one image without its
// padding, a separator, the whole image. A row of each image ends with the number `line_end`.
Value order_of_rows(Value image_sizes, Value mask, std::int64_t crop_size, std::int64_t half) {
  const ModulePath at(mask, "crops");
  Graph& graph = mask.graph();
  const Dim all = mask.dim(0) * Dim(half * half);
  const Value line_end = op::size(graph, all), separator = op::size(graph, all + Dim(1));
  const Value ratios = op::div(op::squeeze(image_sizes, 0), static_cast<double>(crop_size));
  const Value down = op::select(ratios, 0, 0), across = op::select(ratios, 0, 1);
  const Value crop = op::sub(op::arange(graph, mask.dim(0)), 1.0);  // -1: the whole
  const Value is_crop = op::gt(crop, -1.0);
  const Value inside = op::logical_and(is_crop, op::lt(crop, op::mul(down, across)));
  const auto [crop_row, crop_column] = divide(op::maximum(crop, 0.0), across);
  const Value at_left = op::logical_and(inside, op::eq(crop_column, 0.0));
  const Value at_top = op::logical_and(inside, op::eq(crop_row, 0.0));
  const Value height = extent(op::select(mask, 2, 0), at_left, half);
  const Value width = extent(op::select(mask, 1, 0), at_top, half);

  const Value line = op::add(width, 1.0);
  const Value of_crops = op::mul(height, line);
  const std::int64_t of_whole = half * (half + 1);
  const Value count = op::add(of_crops, static_cast<double>(1 + of_whole));
  const Value number = op::arange(count, Dim::symbol("num_image_tokens"));
  const auto h = static_cast<double>(half);
  const auto [row, column] = divide(number, line);
  const auto [row_of_crop, row_inside] = divide(row, h);
  const auto [column_of_crop, column_inside] = divide(column, h);
  const Value chosen = op::add(op::add(op::mul(row_of_crop, across), column_of_crop), 1.0);
  const Value place = op::add(op::mul(row_inside, h), column_inside);
  const Value in_crop = op::add(op::mul(chosen, h * h), place);
  const Value crop_patch = op::where(op::eq(column, width), line_end, in_crop);

  const Value behind = op::maximum(op::sub(op::sub(number, of_crops), 1.0), 0.0);
  const auto [whole_row, whole_column] = divide(behind, h + 1);
  const Value in_whole = op::add(op::mul(whole_row, h), whole_column);
  const Value whole_patch = op::where(op::eq(whole_column, h), line_end, in_whole);
  const Value rest = op::where(op::eq(number, of_crops), separator, whole_patch);
  return op::where(op::lt(number, of_crops), crop_patch, rest);
}

}  // namespace

Value phi4_image_features(const Scope& s, const PretrainedConfig& whole, const Inputs& inputs) {
  const PretrainedConfig config = vision_part(whole);
  const Value mask = inputs["image_attention_mask"];
  config.harmless({"image_token_id"});  // for those who feed the files
  const Value patches =
      compressed_patches(s / "img_processor", config, inputs["pixel_values"], mask, eager_attention(whole));
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

DummyInputGenerators phi4_image_dummies(const PretrainedConfig& whole) {
  const ImageTowerConfig tower(vision_part(whole));
  return {std::make_shared<const DummyCropsGenerator>(tower.num_channels, tower.image_size,
                                                      tower.image_size / tower.patch_size)};
}

}  // namespace onnxport::models
