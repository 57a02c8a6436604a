#include "models/multimodal/common/patches/padded_images.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "onnxport/error.h"
#include "onnxport/index_ops.h"
#include "onnxport/nn/attention.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/token_grid.h"

namespace onnxport::models {
namespace {

struct RealImages {
  Value pixels;  // [num_real_images, C, H, W]
  Value mask;    // bool [num_real_images, H, W]
};

// Without the images that are 0 everywhere.
RealImages real_images(const Inputs& inputs) {
  const Value images = inputs["pixel_values"], masks = inputs["pixel_attention_mask"];
  const ModulePath at(images, "real_images");
  const Dim all = images.dim(0) * images.dim(1);
  const Dim &height = images.dim(3), &width = images.dim(4);
  const Value flat = op::reshape(images, {all, images.dim(2) * height * width});
  const Value real = op::gt(op::amax(op::abs(flat), 1), 0.0);
  const Value places = op::nonzero(real, Dim::symbol("num_real_images"));
  const Value pixels = op::embedding(op::reshape(images, {all, images.dim(2), height, width}), places);
  return {pixels, op::embedding(op::reshape(masks, {all, height, width}), places)};
}

// bool [N, H, W] -> bool [N, rows, columns]
Value real_patches(Value mask, std::int64_t patch, RealPatch real) {
  const ModulePath at(mask, "patch_attention_mask");
  const bool any = real == RealPatch::any_pixel;
  const Value marked = op::unsqueeze(op::cast(any ? mask : op::logical_not(mask), DType::f32), 1);
  const Value found = op::squeeze(op::max_pool2d(marked, {patch, patch}, {.stride = {patch, patch}}), 1);
  return any ? op::gt(found, 0.0) : op::eq(found, 0.0);
}

// `real`: int64 [N, patches] along one axis.
Value stretched(Value real, std::int64_t grid) {
  const Value count = op::maximum(op::sum(real, 1, true), 1.0);
  const Value scaled = op::mul(op::arange(real.graph(), real.dim(1)), static_cast<double>(grid));
  return op::div(scaled, count);
}

// Images of a size that varies with the batch, and masks of rectangles. Of several images, the last one is
// empty.
class DummyPaddedImagesGenerator : public DummyInputGenerator {
 public:
  explicit DummyPaddedImagesGenerator(std::int64_t step) : step_(step) {}
  bool supports_input(std::string_view name) const override {
    return name == "pixel_values" || name == "pixel_attention_mask";
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const std::int64_t size = context.normalized["image_size"], channels = context.normalized["num_channels"];
    const std::int64_t height = std::max(step_, (size / step_ - (shapes.batch_size + 1) % 2) * step_);
    const std::int64_t width = std::max(step_, size / step_ * step_);
    const std::int64_t images = 1 + (shapes.batch_size + 1) % 2;
    if (name == "pixel_values")
      return {context.float_dtype, {shapes.batch_size, images, channels, height, width}};
    return {DType::boolean, {shapes.batch_size, images, height, width}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    const std::vector<std::int64_t> shape = static_shape(type.shape).value();
    const std::int64_t images = shape[0] * shape[1];
    if (name == "pixel_values") {
      Tensor pixels = random_floats(seed, name, type);
      if (images > 1) {
        const auto of_image = pixels.data.size() / static_cast<std::size_t>(images);
        std::fill(pixels.data.end() - static_cast<std::ptrdiff_t>(of_image), pixels.data.end(), std::byte{0});
      }
      return pixels;
    }
    std::vector<std::int64_t> mask;
    for (std::int64_t image = 0; image < images; ++image) {
      const std::int64_t columns = std::max(step_, shape[3] - image % 2 * step_);
      for (std::int64_t i = 0; i < shape[2] * shape[3]; ++i) mask.push_back(i % shape[3] < columns ? 1 : 0);
    }
    return Tensor::from_ints(type.dtype, shape, mask);
  }

 private:
  std::int64_t step_;
};

}  // namespace

Value rectangle_positions(Value mask, std::int64_t grid) {
  const ModulePath at(mask, "position_ids");
  const Value row = stretched(op::select(mask, 2, 0), grid);
  const Value column = stretched(op::select(mask, 1, 0), grid);
  const Value first = op::unsqueeze(op::mul(row, static_cast<double>(grid)), 2);
  const Value place = op::mul(op::add(first, op::unsqueeze(column, 1)), mask);
  return op::reshape(place, {mask.dim(0), mask.dim(1) * mask.dim(2)});
}

PaddedPatches encode_padded_images(const Scope& s, const ImageTowerConfig& c, const Inputs& inputs,
                                   RealPatch real) {
  const RealImages images = real_images(inputs);
  const Value mask = real_patches(images.mask, c.patch_size, real);
  const Scope e = s / "embeddings";
  const Value patches = embed_patches(e, c, images.pixels, true);
  const std::int64_t grid = c.image_size / c.patch_size;
  const nn::Embedding table(e / "position_embedding", c.patches(), c.hidden_size);
  const Value positions = table(rectangle_positions(op::cast(mask, DType::i64), grid));
  const ModulePath at(patches, e.path());
  const Value x = op::add(patches, positions);
  const Value visible = op::reshape(mask, {mask.dim(0), mask.dim(1) * mask.dim(2)});
  const nn::PreNormEncoder encoder(s / "encoder" / "layers", c.num_hidden_layers, c.layer());
  const nn::LayerNorm norm(s / "post_layernorm", c.hidden_size, c.layer_norm_eps);
  return {norm(encoder(x, nn::padding_mask(visible))), visible, mask.dim(1), mask.dim(2)};
}

std::int64_t PaddedImagesOnnxConfig::image_step() const { return divisor(vision_config(), "patch_size"); }

AxesByName PaddedImagesOnnxConfig::encoder_inputs() const {
  return {{"pixel_values", {{0, "batch_size"}, {1, "num_images"}, {3, "height"}, {4, "width"}}},
          {"pixel_attention_mask", {{0, "batch_size"}, {1, "num_images"}, {2, "height"}, {3, "width"}}}};
}

AxesByName PaddedImagesOnnxConfig::encoder_outputs() const {
  return {{"image_features", {{0, "num_real_images"}, {1, "num_image_tokens"}}}};
}

DummyInputGenerators PaddedImagesOnnxConfig::encoder_dummies() const {
  return {std::make_shared<const DummyPaddedImagesGenerator>(image_step())};
}

ImageTowerConfig padded_images_tower(const PretrainedConfig& whole) {
  const PretrainedConfig vision = whole.sub("vision_config").as(whole.model_type() + "_vision");
  vision.harmless({"tie_word_embeddings"});  // it has no words
  return ImageTowerConfig(vision);
}

NamedValues forward_padded_images(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                                  const Component& component, const char* text_type,
                                  const std::function<Value(const Inputs& inputs)>& encode) {
  model.config().harmless({"image_token_id", "use_cache", "scale_factor", "perceiver_config"});
  return forward_multimodal_decoder(
      tasks, inputs, model, component,
      [&](const PretrainedConfig& whole) { return whole.sub("text_config", text_type); },
      [&](const Inputs& in, const Component&) -> NamedValues { return {{"image_features", encode(in)}}; });
}

std::int64_t square_side(const PretrainedConfig& c) {
  const std::int64_t side = c.integer("scale_factor");
  if (side >= 1 && side <= 1024) return side;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: scale_factor is {}, expected 1 to 1024", c.origin(), side));
}

Value shuffled_image_features(const Inputs& inputs, const Model& model) {
  const PretrainedConfig& c = model.config();
  const ImageTowerConfig tower = padded_images_tower(c);
  const Scope s = model.scope() / "model";
  const PaddedPatches patches = encode_padded_images(s / "vision_model", tower, inputs, RealPatch::any_pixel);
  const std::int64_t side = square_side(c), square = side * side * tower.hidden_size;
  const Scope connector = s / "connector";
  const ModulePath at(patches.hidden, connector.path());
  const nn::TokenGrid grid{patches.hidden.dim(0), patches.rows, patches.columns};
  const Value rows = op::reshape(patches.hidden, {grid.rows(), tower.hidden_size});
  const Value sorted = nn::patches_of(rows.graph(), grid, side, nn::PatchEdge::drop)(rows);
  const Dim tokens = patches.rows.floor_div(side) * patches.columns.floor_div(side);
  const nn::Linear project(connector / "modality_projection" / "proj", square,
                           c.unaccounted().sub("text_config", "llama").integer("hidden_size"), false);
  return project(op::reshape(sorted, {grid.batch, tokens, square}));
}

KeyNames padded_images_key_names() {
  KeyNames names = tied("language_model.model.embed_tokens", "language_model.lm_head");
  names.newer = {{"language_model.model.", "model.text_model."}, {"language_model.lm_head", "lm_head"}};
  return names;
}

}  // namespace onnxport::models
