// SEW-D: SEW with the encoder of DeBERTa 2. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/sew_d/modeling_sew_d.py
#include "models/audio/common/squeezed_encoder.h"
#include "models/text_encoders/common/deberta.h"
#include "onnxport/nn/audio_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const SqueezedConfig c(config);
  const Scope root = model.scope();
  const Scope base = root.base_model("sew_d");
  const DebertaEncoder encoder(base / "encoder" / "encoder", DebertaConfig(config, DebertaVersion::second));
  const SqueezedStates hidden =
      squeezed_states(base, c, config.real("feature_layer_norm_eps"), inputs["input_values"],
                      [&](Value x) { return encoder.states(x, {}); });
  return nn::build_speech_task(component.task, hidden.states, hidden.last, root, c.heads);
}

}  // namespace

void register_sew_d(TasksManager& tasks) {
  tasks.register_model<SpeechOnnxConfig>(
      {.model_type = "sew-d",
       .tasks = {"feature-extraction", "automatic-speech-recognition", "audio-classification"},
       .forward = forward,
       .ignorable_keys = speech_training_keys("sew_d")});
}

}  // namespace onnxport::models
