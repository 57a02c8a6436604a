// Parakeet with a head for connectionist temporal classification. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/parakeet/modeling_parakeet.py
#include "models/audio/common/parakeet.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const PretrainedConfig& config = model.config();
  const ParakeetConfig c(parakeet_encoder_config(config));
  config.harmless({"pad_token_id"});  // the blank, which clients need
  const Scope root = model.scope();
  const Value lengths = op::sum(inputs["attention_mask"], 1);
  const Value hidden = encode_parakeet(root / "encoder", c, inputs["input_features"], lengths).hidden;
  return {{"logits", ctc_head(root / "ctc_head", hidden, c.hidden_size, config.integer("vocab_size"))}};
}

}  // namespace

void register_parakeet_ctc(TasksManager& tasks) {
  tasks.register_model<ParakeetOnnxConfig>(
      {.model_type = "parakeet_ctc", .tasks = {"automatic-speech-recognition"}, .forward = forward});
}

}  // namespace onnxport::models
