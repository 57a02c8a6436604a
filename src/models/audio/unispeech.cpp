// UniSpeech: wav2vec 2.0 with another training. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/unispeech/modeling_unispeech.py
#include "models/audio/common/speech_encoder.h"
#include "onnxport/nn/audio_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const SpeechEncoderConfig c(model.config());
  refuse_adapter(model.config());
  const Scope root = model.scope();
  const std::vector<Value> states =
      speech_states(root.base_model("unispeech"), c, inputs["input_values"], c.layer_norm_eps);
  return nn::build_speech_task(component.task, states, states.back(), root, c.heads);
}

}  // namespace

void register_unispeech(TasksManager& tasks) {
  std::vector<std::string> training = speech_training_keys("unispeech");
  training.emplace_back("ctc_proj.*");
  tasks.register_model<SpeechOnnxConfig>(
      {.model_type = "unispeech",
       .tasks = {"feature-extraction", "automatic-speech-recognition", "audio-classification"},
       .forward = forward,
       .ignorable_keys = training});
}

}  // namespace onnxport::models
