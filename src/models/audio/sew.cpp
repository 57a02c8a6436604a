// SEW: wav2vec 2.0 at a lower rate. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/sew/modeling_sew.py
#include "models/audio/common/squeezed_encoder.h"
#include "onnxport/nn/audio.h"
#include "onnxport/nn/audio_tasks.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const SqueezedConfig c(model.config());
  const Scope root = model.scope();
  const Scope base = root.base_model("sew");
  const Scope encoder = base / "encoder";
  const auto layers = [&](Value x) {
    std::vector<Value> states = {nn::LayerNorm(encoder / "layer_norm", c.hidden_size, c.layer_norm_eps)(x)};
    for (std::int64_t i = 0; i < c.encoder.layers; ++i) {
      const nn::SpeechLayer layer(encoder / "layers" / i, c.encoder.layer, false);
      states.push_back(layer(states.back()));
    }
    return states;
  };
  const SqueezedStates hidden = squeezed_states(base, c, c.layer_norm_eps, inputs["input_values"], layers);
  return nn::build_speech_task(component.task, hidden.states, hidden.last, root, c.heads);
}

}  // namespace

void register_sew(TasksManager& tasks) {
  tasks.register_model<SpeechOnnxConfig>(
      {.model_type = "sew",
       .tasks = {"feature-extraction", "automatic-speech-recognition", "audio-classification"},
       .forward = forward,
       .ignorable_keys = speech_training_keys("sew")});
}

}  // namespace onnxport::models
