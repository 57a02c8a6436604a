#include "models/multimodal/common/patches/flattened_patches.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include "onnxport/error.h"

namespace onnxport::models {

std::int64_t most_patches(const std::vector<Preprocessor>& preprocessors) {
  constexpr std::int64_t kUsual = 2048;
  if (preprocessors.empty()) return kUsual;
  const std::string file = preprocessors.front().file.string();
  std::ifstream stream(file, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(stream), {});
  const auto config = PretrainedConfig::from_json(text, file, "pix2struct_image_processor");
  const std::int64_t patches = config.integer("max_patches", kUsual);
  if (patches >= 1) return patches;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: max_patches is {}, expected at least 1", file, patches));
}

// ---- patches ----

TensorType DummyFlattenedPatchGenerator::type(std::string_view /*name*/, const DummyContext& context,
                                              const DummyShapes& shapes) const {
  return {context.float_dtype, {shapes.batch_size, patches_, 2 + pixels_}};
}

Tensor DummyFlattenedPatchGenerator::generate(std::string_view name, const DummyContext& context,
                                              const DummyShapes& shapes, std::uint64_t seed) const {
  const TensorType type = this->type(name, context, shapes);
  std::vector<double> values = random_floats(seed, name, type).to_doubles();
  const auto width = static_cast<std::size_t>(2 + pixels_);
  for (std::size_t at = 0; at + 1 < values.size(); at += width) {
    const auto patch = static_cast<std::int64_t>(at / width) % patches_;
    values[at] = static_cast<double>((1 + patch / 4) % places_);
    values[at + 1] = static_cast<double>((1 + patch % 4) % places_);
  }
  return Tensor::from_doubles(type.dtype, {shapes.batch_size, patches_, 2 + pixels_}, values);
}

// ---- states and masks ----

bool DummyPatchMaskGenerator::supports_input(std::string_view name) const {
  return name == "encoder_hidden_states" || name.ends_with("attention_mask");
}

TensorType DummyPatchMaskGenerator::type(std::string_view name, const DummyContext& context,
                                         const DummyShapes& shapes) const {
  if (name == "encoder_hidden_states") return {context.float_dtype, {shapes.batch_size, patches_, width_}};
  if (context.axis(name, 1) == nullptr) return {context.int_dtype, {shapes.batch_size, patches_}};
  const std::int64_t tokens =
      shapes.decoder_sequence_length > 0 ? shapes.decoder_sequence_length : shapes.sequence_length;
  const std::int64_t past = takes_any(context.states) ? shapes.past_sequence_length : 0;
  return {context.int_dtype, {shapes.batch_size, past + tokens}};
}

Tensor DummyPatchMaskGenerator::generate(std::string_view name, const DummyContext& context,
                                         const DummyShapes& shapes, std::uint64_t seed) const {
  const TensorType type = this->type(name, context, shapes);
  if (name == "encoder_hidden_states") return random_floats(seed, name, type);
  std::vector<std::int64_t> extents;
  std::size_t count = 1;
  for (const Dim& dim : type.shape) {
    extents.push_back(*dim.constant());
    count *= static_cast<std::size_t>(extents.back());
  }
  return Tensor::from_ints(type.dtype, extents, std::vector<std::int64_t>(count, 1));
}

}  // namespace onnxport::models
