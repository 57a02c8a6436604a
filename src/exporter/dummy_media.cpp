// Dummy audio and images.
#include <algorithm>

#include "exporter/dummy_values.h"
#include "onnxport/dummy_inputs.h"

namespace onnxport {

bool DummyAudioFeaturesInputGenerator::supports_input(std::string_view name) const {
  return name == "input_features" || name == "attention_mask";
}

TensorType DummyAudioFeaturesInputGenerator::type(std::string_view name, const DummyContext& context,
                                                  const DummyShapes& shapes) const {
  const std::int64_t frames =
      features_.any_frames ? std::min(shapes.nb_max_frames, features_.frames) : features_.frames;
  if (name == "attention_mask")
    return {context.int_dtype, {shapes.batch_size, features_.any_frames ? frames : features_.size}};
  if (features_.any_frames) return {context.float_dtype, {shapes.batch_size, frames, features_.size}};
  return {context.float_dtype, {shapes.batch_size, features_.size, frames}};
}

Tensor DummyAudioFeaturesInputGenerator::generate(std::string_view name, const DummyContext& context,
                                                  const DummyShapes& shapes, std::uint64_t seed) const {
  const TensorType type = this->type(name, context, shapes);
  return name == "attention_mask" ? exporter::ones(name, type) : random_floats(seed, name, type);
}

bool DummyVisionInputGenerator::supports_input(std::string_view name) const { return name == "pixel_values"; }

TensorType DummyVisionInputGenerator::type(std::string_view name, const DummyContext& context,
                                           const DummyShapes& shapes) const {
  ImageSize size = {shapes.height, shapes.width};
  if (!shapes.any_image_size || context.axis(name, 2) == nullptr) {
    const auto sized = std::find_if(context.preprocessors.begin(), context.preprocessors.end(),
                                    [](const Preprocessor& one) { return one.image_size.has_value(); });
    if (const std::vector<std::int64_t> own = context.normalized.list("image_size"); !own.empty()) {
      size = {own.front(), own.back()};
    } else if (sized != context.preprocessors.end()) {
      size = *sized->image_size;
    }
  }
  const std::int64_t channels = context.normalized.maybe("num_channels").value_or(shapes.num_channels);
  return {context.float_dtype, {shapes.batch_size, channels, size.height, size.width}};
}

bool DummyAudioInputGenerator::supports_input(std::string_view name) const { return name == "input_values"; }

TensorType DummyAudioInputGenerator::type(std::string_view /*name*/, const DummyContext& context,
                                          const DummyShapes& shapes) const {
  return {context.float_dtype, {shapes.batch_size, shapes.audio_sequence_length}};
}

}  // namespace onnxport
