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

/// input_points: pixels [batch_size, point_batch_size, nb_points_per_image, 2]; input_labels: every label
/// that the prompt encoder knows; image_embeddings and image_positional_embeddings.
class DummySamInputGenerator : public DummyInputGenerator {
 public:
  explicit DummySamInputGenerator(const SamVisionConfig& c)
      : width_(c.output_channels), grid_(c.grid()), image_size_(c.image_size) {}
  bool supports_input(std::string_view name) const override {
    return name.starts_with("input_") || name.starts_with("image_");
  }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override {
    if (name.starts_with("image_")) return {context.float_dtype, {shapes.batch_size, width_, grid_, grid_}};
    const Shape points = {shapes.batch_size, shapes.point_batch_size, shapes.nb_points_per_image};
    if (name == "input_labels") return {context.int_dtype, points};
    return {context.float_dtype, {points[0], points[1], points[2], 2}};
  }
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override {
    const TensorType type = this->type(name, context, shapes);
    if (name.starts_with("image_")) return random_floats(seed, name, type);
    const std::vector<std::int64_t> shape = static_shape(type.shape).value();
    if (name == "input_labels") {
      constexpr std::int64_t kLabels[] = {1, 0, -1, -10};
      std::vector<std::int64_t> values(static_cast<std::size_t>(shape[0] * shape[1] * shape[2]));
      for (std::size_t i = 0; i < values.size(); ++i) values[i] = kLabels[(i + seed) % std::size(kLabels)];
      return Tensor::from_ints(type.dtype, shape, values);
    }
    std::vector<double> pixels = random_floats(seed, name, DType::f32, shape).to_doubles();
    for (double& pixel : pixels) pixel = std::floor((pixel + 1) / 2 * static_cast<double>(image_size_));
    return Tensor::from_doubles(type.dtype, shape, pixels);
  }

 private:
  std::int64_t width_, grid_, image_size_;
};

}  // namespace onnxport::models
