// wav2vec 2.0. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/wav2vec2/modeling_wav2vec2.py
#include "models/audio/common/speech_encoder.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const AdaptedSpeechConfig c(model.config());
  const Scope base = model.scope().base_model("wav2vec2");
  const std::vector<Value> states = speech_states(base, c, inputs["input_values"], c.layer_norm_eps);
  return build_adapted_speech_task(model, component.task, base, c, states);
}

}  // namespace

void register_wav2vec2(TasksManager& tasks) {
  tasks.register_model<SpeechOnnxConfig>(
      {.model_type = "wav2vec2",
       .tasks = {"feature-extraction", "automatic-speech-recognition", "audio-classification",
                 "audio-frame-classification", "audio-xvector"},
       .forward = forward,
       .ignorable_keys = speech_training_keys("wav2vec2")});
}

}  // namespace onnxport::models
