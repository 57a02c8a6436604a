// Parakeet's encoder. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/parakeet/modeling_parakeet.py
#include "models/audio/common/parakeet.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& /*component*/) {
  const ParakeetConfig c(model.config());
  const Value lengths = op::sum(inputs["attention_mask"], 1);
  const Scope base = model.scope().base_model("encoder");
  return {{"last_hidden_state", encode_parakeet(base, c, inputs["input_features"], lengths).hidden}};
}

}  // namespace

void register_parakeet_encoder(TasksManager& tasks) {
  tasks.register_model<ParakeetOnnxConfig>(
      {.model_type = "parakeet_encoder", .tasks = {"feature-extraction"}, .forward = forward});
}

}  // namespace onnxport::models
