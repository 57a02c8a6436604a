#include "models/audio/common/audio_to_text.h"

#include <memory>

namespace onnxport::models {

AxesByName FramesToTextOnnxConfig::inputs() const {
  if (behavior() == ConfigBehavior::decoder) {
    AxesByName inputs = decoder_inputs();
    for (auto& [name, axes] : inputs)
      if (name == "encoder_attention_mask") axes[1] = "feature_sequence_length";
    return inputs;
  }
  const Axes frames = {{0, "batch_size"}, {1, "encoder_sequence_length"}};
  AxesByName inputs = {{"input_features", frames}};
  if (has_encoder_mask()) inputs.emplace_back("attention_mask", frames);
  if (behavior() == ConfigBehavior::monolith)
    inputs.emplace_back("decoder_input_ids", Axes{{0, "batch_size"}, {1, "decoder_sequence_length"}});
  return inputs;
}

AxesByName FramesToTextOnnxConfig::outputs() const {
  if (behavior() == ConfigBehavior::encoder)
    return {{"last_hidden_state", {{0, "batch_size"}, {1, "encoder_output_length"}}}};
  return OnnxSeq2SeqConfigWithPast::outputs();
}

DummyInputGenerators FramesToTextOnnxConfig::dummy_input_generators() const {
  constexpr std::int64_t kFrames = 300;  // more would show nothing else, but attention takes long
  return {std::make_shared<const DummyAudioFeaturesInputGenerator>(
              AudioFeatures{.size = feature_size(), .frames = kFrames, .any_frames = true}),
          std::make_shared<const DummySeq2SeqInputGenerator>(encoder_width(), kFrames),
          std::make_shared<const DummyTextInputGenerator>()};
}

}  // namespace onnxport::models
