/// Images of different sizes in one batch, as rows of patches with padding behind them. (NaFlex, Tschannen et
/// al. 2025)
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "onnxport/dummy_inputs.h"

namespace onnxport::models {

/// Makes `pixel_values` [B, N, width], `pixel_attention_mask` int [B, N] and `spatial_shapes` int [B, 2]:
/// rows and columns of patches, both multiples of `step`, for images of different sizes.
class DummyPaddedPatchGenerator : public DummyInputGenerator {
 public:
  DummyPaddedPatchGenerator(std::int64_t step, std::int64_t width) : step_(step), width_(width) {}
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;

 private:
  std::vector<std::int64_t> sizes(std::int64_t images) const;  // rows and columns of each
  std::int64_t step_, width_;
};

}  // namespace onnxport::models
