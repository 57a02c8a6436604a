// FastSpeech 2 with Conformer layers. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/fastspeech2_conformer/modeling_fastspeech2_conformer.py
#include "models/audio/common/fastspeech2_conformer.h"

namespace onnxport::models {
namespace {

class FastSpeech2ConformerOnnxConfig : public TextEncoderOnnxConfig {
 public:
  using TextEncoderOnnxConfig::TextEncoderOnnxConfig;
  AxesByName inputs() const override { return fastspeech2_inputs(config().unaccounted()); }
  AxesByName outputs() const override {
    return {{"spectrogram", {{0, "batch_size"}, {1, "spectrogram_length"}}}};
  }
  DummyInputGenerators dummy_input_generators() const override { return fastspeech2_generators(); }
};

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  return {{"spectrogram", fastspeech2_spectrogram(model.scope(), model.config(), inputs)}};
}

}  // namespace

void register_fastspeech2_conformer(TasksManager& tasks) {
  // Languages and vectors of speakers, for which there is no input.
  tasks.register_model<FastSpeech2ConformerOnnxConfig>(
      {.model_type = "fastspeech2_conformer",
       .tasks = {"text-to-audio"},
       .forward = forward,
       .ignorable_keys = {"language_id_embedding.*", "projection.*"}});
}

}  // namespace onnxport::models
