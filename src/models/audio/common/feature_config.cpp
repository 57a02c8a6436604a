#include "models/audio/common/feature_config.h"

#include <memory>

namespace onnxport::models {

AxesByName FeatureEncoderOnnxConfig::inputs() const {
  const Axes axes = {{0, "batch_size"}, {1, "sequence_length"}};
  AxesByName inputs = {{"input_features", axes}};
  if (takes_mask()) inputs.emplace_back("attention_mask", axes);
  return inputs;
}

DummyInputGenerators FeatureEncoderOnnxConfig::dummy_input_generators() const {
  constexpr std::int64_t kFrames = 300;  // more would show nothing else, but attention takes long
  return {std::make_shared<const DummyAudioFeaturesInputGenerator>(
      AudioFeatures{.size = feature_size(), .frames = kFrames, .any_frames = true})};
}

}  // namespace onnxport::models
