// FastSpeech 2 with its vocoder. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/fastspeech2_conformer/modeling_fastspeech2_conformer.py
#include "models/audio/common/fastspeech2_conformer.h"
#include "models/audio/common/speech_synthesis.h"

namespace onnxport::models {
namespace {

PretrainedConfig model_config(const PretrainedConfig& c) {
  return c.sub("model_config", "fastspeech2_conformer");
}

class FastSpeech2ConformerWithHifiGanOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override { return fastspeech2_inputs(model_config(config().unaccounted())); }
  AxesByName outputs() const override {
    return {{"spectrogram", {{0, "batch_size"}, {1, "spectrogram_length"}}},
            {"waveform", {{0, "batch_size"}, {1, "waveform_length"}}}};
  }
  NormalizedConfig normalized_config() const override {
    return NormalizedTextConfig(model_config(config().unaccounted()));
  }
  DummyInputGenerators dummy_input_generators() const override { return fastspeech2_generators(); }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const PretrainedConfig& c = model.config();
  const Scope root = model.scope();
  const Value spectrogram = fastspeech2_spectrogram(root / "model", model_config(c), inputs);
  return {{"spectrogram", spectrogram},
          {"waveform", hifigan_waveform(root / "vocoder", c.sub("vocoder_config", "hifigan"), spectrogram)}};
}

}  // namespace

void register_fastspeech2_conformer_with_hifigan(TasksManager& tasks) {
  tasks.register_model<FastSpeech2ConformerWithHifiGanOnnxConfig>(
      {.model_type = "fastspeech2_conformer_with_hifigan",
       .tasks = {"text-to-audio"},
       .forward = forward,
       .ignorable_keys = {"model.language_id_embedding.*", "model.projection.*"}});
}

}  // namespace onnxport::models
