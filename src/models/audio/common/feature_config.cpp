#include "models/audio/common/feature_config.h"

#include <fmt/format.h>

#include <memory>

#include "onnxport/error.h"

namespace onnxport::models {

std::int64_t frame_size(const PretrainedConfig& c) {
  const std::int64_t size = c.integer("input_feat_per_channel"), channels = c.integer("input_channels");
  constexpr std::int64_t kMost = 1 << 20;
  if (size > 0 && channels > 0 && size <= kMost && channels <= kMost) return size * channels;
  throw ExportError(ErrorCode::bad_config,
                    fmt::format("{}: input_feat_per_channel is {} and input_channels is {}, expected 1 to {}",
                                c.origin(), size, channels, kMost));
}

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
