// UniSpeech-SAT: wav2vec 2.0 with another training. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/unispeech_sat/modeling_unispeech_sat.py
#include "models/audio/common/speech_encoder.h"
#include "onnxport/nn/audio_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  SpeechEncoderConfig c(model.config());
  c.heads.xvector = xvector_parameters(model.config());
  refuse_adapter(model.config());
  const Scope root = model.scope();
  const std::vector<Value> states =
      speech_states(root.base_model("unispeech_sat"), c, inputs["input_values"], c.layer_norm_eps);
  return nn::build_speech_task(component.task, states, states.back(), root, c.heads);
}

}  // namespace

void register_unispeech_sat(TasksManager& tasks) {
  std::vector<std::string> training = speech_training_keys("unispeech_sat");
  for (const char* key : {"speaker_proj.*", "label_embeddings_concat", "layer_norm_for_extract.*"})
    training.emplace_back(key);
  tasks.register_model<SpeechOnnxConfig>(
      {.model_type = "unispeech-sat",
       .tasks = {"feature-extraction", "automatic-speech-recognition", "audio-classification",
                 "audio-frame-classification", "audio-xvector"},
       .forward = forward,
       .ignorable_keys = training});
}

}  // namespace onnxport::models
