/// Dummy inputs of Segment Anything.
#pragma once

#include <cmath>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <vector>

#include "models/vision/common/sam.h"
#include "onnxport/dummy_inputs.h"

namespace onnxport::models {

/// Makes prompts.
class DummyPromptGenerator : public DummyInputGenerator {
 protected:
  /// Every label that the prompt encoder knows: [batch_size, prompts, points].
  static Tensor labels(const TensorType& type, std::uint64_t seed) {
    const std::vector<std::int64_t> shape = static_shape(type.shape).value();
    constexpr std::int64_t kLabels[] = {1, 0, -1, -10};
    std::vector<std::int64_t> values(static_cast<std::size_t>(shape[0] * shape[1] * shape[2]));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = kLabels[(i + seed) % std::size(kLabels)];
    return Tensor::from_ints(type.dtype, shape, values);
  }
  /// Columns and rows of pixels.
  static Tensor pixels(const TensorType& type, std::uint64_t seed, std::string_view name,
                       std::int64_t image_size) {
    const std::vector<std::int64_t> shape = static_shape(type.shape).value();
    std::vector<double> values = random_floats(seed, name, DType::f32, shape).to_doubles();
    for (double& value : values) value = std::floor((value + 1) / 2 * static_cast<double>(image_size));
    return Tensor::from_doubles(type.dtype, shape, values);
  }
};

/// input_points [batch_size, point_batch_size, nb_points_per_image, 2]; input_labels; image_embeddings and
/// image_positional_embeddings; and, for SAM-HQ, intermediate_embeddings.{i}.
class DummySamInputGenerator : public DummyPromptGenerator {
 public:
  explicit DummySamInputGenerator(const SamVisionConfig& c)
      : width_(c.output_channels), inner_width_(c.hidden_size), grid_(c.grid()), image_size_(c.image_size) {}
  bool supports_input(std::string_view name) const override {
    return name.starts_with("input_") || name.starts_with("image_") || name.starts_with("intermediate_");
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    const DType floats = context.float_dtype;
    if (name.starts_with("image_")) return {floats, {shapes.batch_size, width_, grid_, grid_}};
    if (name.starts_with("intermediate_")) return {floats, {shapes.batch_size, grid_, grid_, inner_width_}};
    const Shape points = {shapes.batch_size, shapes.point_batch_size, shapes.nb_points_per_image};
    if (name == "input_labels") return {context.int_dtype, points};
    return {floats, {points[0], points[1], points[2], 2}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    if (!name.starts_with("input_")) return random_floats(seed, name, type);
    return name == "input_labels" ? labels(type, seed) : pixels(type, seed, name, image_size_);
  }

 private:
  std::int64_t width_, inner_width_, grid_, image_size_;
};

}  // namespace onnxport::models
