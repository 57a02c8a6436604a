/// What detectors share: their interface, masks of pixels, backbones with masks, boxes.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "models/common/definition.h"

namespace onnxport::models {

/// Images of any size, and with the option `pixel_mask` the input that tells which of their pixels are real,
/// unless the type has it anyway.
class DetectorOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  DummyInputGenerators dummy_input_generators() const override;
  void apply(const InterfaceOptions& interface_options, AxesByName& inputs,
             AxesByName& outputs) const override;
};

/// The same, for originals that do not name the axis of the queries.
class FixedQueriesOnnxConfig : public DetectorOnnxConfig {
 public:
  using DetectorOnnxConfig::DetectorOnnxConfig;
  AxesByName outputs() const override;
};

/// pixel_mask [batch_size, height, width]: ones for the upper left part of each image.
class DummyPixelMaskGenerator : public DummyVisionInputGenerator {
 public:
  bool supports_input(std::string_view name) const override { return name == "pixel_mask"; }
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
  Tensor generate(std::string_view name, const DummyContext& context, const DummyShapes& shapes,
                  std::uint64_t seed) const override;
};

/// The mask [B, height, width] of 0 and 1 at the pixels of a smaller image [B, C, H, W]: bool [B, H, W]. It
/// is absent if the mask is.
Value mask_at(Value pixel_mask, Value image);

/// log(x / (1 - x)) for numbers between 0 and 1, which are kept `eps` away from them.
Value inverse_sigmoid(Value x, double eps = 1e-5);

/// The linear layers {i} below `s`, with relu between them: [..., in] -> [..., out]. Keys: layers.{i}.
Value linear_stack(const Scope& s, Value x, std::int64_t inner, std::int64_t out, std::int64_t count);

}  // namespace onnxport::models
