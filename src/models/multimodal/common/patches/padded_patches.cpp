#include "models/multimodal/common/patches/padded_patches.h"

#include <algorithm>

namespace onnxport::models {
namespace {

std::int64_t most_patches(const std::vector<std::int64_t>& sizes) {
  std::int64_t most = 0;
  for (std::size_t i = 0; i + 1 < sizes.size(); i += 2) most = std::max(most, sizes[i] * sizes[i + 1]);
  return most;
}

}  // namespace

std::vector<std::int64_t> DummyPaddedPatchGenerator::sizes(std::int64_t images) const {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < images; ++i) {
    values.push_back(step_ * (1 + (i + 1) % 3));
    values.push_back(step_ * (2 + i % 2));
  }
  return values;
}

bool DummyPaddedPatchGenerator::supports_input(std::string_view name) const {
  return name == "pixel_values" || name == "pixel_attention_mask" || name == "spatial_shapes";
}

TensorType DummyPaddedPatchGenerator::type(std::string_view name, const DummyContext& context,
                                           const DummyShapes& shapes) const {
  if (name == "spatial_shapes") return {context.int_dtype, {shapes.batch_size, 2}};
  const std::int64_t patches = most_patches(sizes(shapes.batch_size));
  if (name == "pixel_attention_mask") return {context.int_dtype, {shapes.batch_size, patches}};
  return {context.float_dtype, {shapes.batch_size, patches, width_}};
}

Tensor DummyPaddedPatchGenerator::generate(std::string_view name, const DummyContext& context,
                                           const DummyShapes& shapes, std::uint64_t seed) const {
  const TensorType type = this->type(name, context, shapes);
  if (name == "pixel_values") return random_floats(seed, name, type);
  const std::vector<std::int64_t> sizes = this->sizes(shapes.batch_size);
  if (name == "spatial_shapes") return Tensor::from_ints(type.dtype, {shapes.batch_size, 2}, sizes);
  const std::int64_t patches = most_patches(sizes);
  std::vector<std::int64_t> mask;
  for (std::size_t i = 0; i + 1 < sizes.size(); i += 2) {
    for (std::int64_t patch = 0; patch < patches; ++patch)
      mask.push_back(patch < sizes[i] * sizes[i + 1] ? 1 : 0);
  }
  return Tensor::from_ints(type.dtype, {shapes.batch_size, patches}, mask);
}

}  // namespace onnxport::models
