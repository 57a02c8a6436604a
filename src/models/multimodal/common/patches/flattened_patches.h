/// Inputs of Pix2Struct: patches of images of any shape, as many for every image.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// max_patches of a preprocessor, or 2048, its class default. Throws ExportError(bad_config) for less than 1.
std::int64_t most_patches(const std::vector<Preprocessor>& preprocessors);

/// `flattened_patches` [B, patches, 2 + pixels]: the numbers of a row and a column, below `places`, and what
/// the patch shows.
class DummyFlattenedPatchGenerator : public DummyInputGenerator {
 public:
  DummyFlattenedPatchGenerator(std::int64_t patches, std::int64_t pixels, std::int64_t places)
      : patches_(patches), pixels_(pixels), places_(places) {}
  bool supports_input(std::string_view name) const override { return name == "flattened_patches"; }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;

 private:
  std::int64_t patches_, pixels_, places_;
};

/// The states of those patches, encoder_hidden_states [B, patches, width], and all masks: int [B, patches] of
/// patches, and [B, P + S] of the decoder's tokens.
class DummyPatchMaskGenerator : public DummyInputGenerator {
 public:
  DummyPatchMaskGenerator(std::int64_t patches, std::int64_t width) : patches_(patches), width_(width) {}
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;

 private:
  std::int64_t patches_, width_;
};

}  // namespace onnxport::models
