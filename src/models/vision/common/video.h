/// The interface of video models.
#pragma once

#include "models/common/definition.h"

namespace onnxport::models {

/// pixel_values or pixel_values_videos: videos [batch_size, num_frames, num_channels, height, width], between
/// -1 and 1. The number of frames and the size of the images come from num_frames and image_size of the
/// normalized config. If the number of frames is dynamic, it is the length of the sequence, and at least
/// tubelet_size.
class DummyVideoInputGenerator : public DummyFloatInputGenerator {
 public:
  bool supports_input(std::string_view name) const override;
  TensorType type(std::string_view name, const DummyContext& context,
                  const DummyShapes& shapes) const override;
};

/// pixel_values [batch_size, num_frames, num_channels, height, width]. The number of frames and the size of
/// images are those of the configuration.
class VideoOnnxConfig : public OnnxConfig {
 public:
  using OnnxConfig::OnnxConfig;
  AxesByName inputs() const override { return {{"pixel_values", {{0, "batch_size"}}}}; }
  AxesByName outputs() const override;
  NormalizedConfig normalized_config() const override { return NormalizedVisionConfig(config()); }
  DummyInputGenerators dummy_input_generators() const override;
};

}  // namespace onnxport::models
