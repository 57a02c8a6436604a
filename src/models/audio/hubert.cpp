// HuBERT: wav2vec 2.0 with another training. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/hubert/modeling_hubert.py
#include <optional>

#include "models/audio/common/speech_encoder.h"
#include "onnxport/nn/audio_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  SpeechEncoderConfig c(config);
  c.encoder.positions.batch_norm = config.flag("conv_pos_batch_norm");
  const bool norm_features = config.flag("feat_proj_layer_norm");
  refuse_adapter(config);
  const Scope root = model.scope();
  const Scope base = root.base_model("hubert");
  const std::vector<Value> states = speech_states(
      base, c, inputs["input_values"], norm_features ? std::optional(c.layer_norm_eps) : std::nullopt);
  return nn::build_speech_task(component.task, states, states.back(), root, c.heads);
}

}  // namespace

void register_hubert(TasksManager& tasks) {
  tasks.register_model<SpeechOnnxConfig>(
      {.model_type = "hubert",
       .tasks = {"feature-extraction", "automatic-speech-recognition", "audio-classification"},
       .forward = forward,
       .ignorable_keys = {"masked_spec_embed", "hubert.masked_spec_embed"}});  // masks in training
}

}  // namespace onnxport::models
