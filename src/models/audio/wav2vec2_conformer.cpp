// wav2vec 2.0 with conformer layers. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/wav2vec2_conformer/modeling_wav2vec2_conformer.py
#include "models/audio/common/conformer.h"
#include "models/audio/common/speech_encoder.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const AdaptedSpeechConfig c(model.config());
  const ConformerConfig conformer(model.config());
  const Scope base = model.scope().base_model("wav2vec2_conformer");
  const Scope encoder = base / "encoder";
  // The original has a positional convolution that it does not use, and stores the rotary frequencies.
  for (const char* unused : {"pos_conv_embed", "embed_positions"}) encoder.ignore(unused);

  const Value features = speech_features(base, c, inputs["input_values"], c.layer_norm_eps);
  std::vector<Value> states = conformer_states(encoder, conformer, features, {});
  states.back() = nn::LayerNorm(encoder / "layer_norm", c.hidden_size, c.layer_norm_eps)(states.back());
  return build_adapted_speech_task(model, component.task, base, c, states);
}

}  // namespace

void register_wav2vec2_conformer(TasksManager& tasks) {
  tasks.register_model<SpeechOnnxConfig>(
      {.model_type = "wav2vec2-conformer",
       .tasks = {"feature-extraction", "automatic-speech-recognition", "audio-classification",
                 "audio-frame-classification", "audio-xvector"},
       .forward = forward,
       .ignorable_keys = speech_training_keys("wav2vec2_conformer")});
}

}  // namespace onnxport::models
