/// Detections as the repositories of RT-DETR and D-FINE publish them: with post-processing in the file.
#pragma once

#include "models/vision/common/detector.h"

namespace onnxport::models {

/// The variant `boxes`: the inputs are images and orig_target_sizes [batch_size, 2], the width and height of
/// the original images; the outputs are labels, boxes and scores of num_queries detections, the best first.
inline constexpr const char* kBoxesVariant = "boxes";
inline constexpr const char* kBoxesImages = "images";

/// A detector with that variant.
class DetectedBoxesOnnxConfig : public DetectorOnnxConfig {
 public:
  using DetectorOnnxConfig::DetectorOnnxConfig;
  std::vector<std::string> variants() const override;
  AxesByName inputs() const override;
  AxesByName outputs() const override;
  DummyInputGenerators dummy_input_generators() const override;

 private:
  bool has_boxes() const { return options().variant == kBoxesVariant; }
};

/// The images of either variant: [B, C, H, W].
Value detector_images(const Inputs& inputs);

/// The outputs of either variant, of logits [B, Q, classes] and of boxes [B, Q, 4] around their centers.
NamedValues detector_outputs(const Inputs& inputs, Value logits, Value boxes);

}  // namespace onnxport::models
