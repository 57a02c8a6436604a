// Blenderbot: BART with norms before attention and feed-forward. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/blenderbot/modeling_blenderbot.py
#include "models/encoder_decoders/common/bart.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  BartConfig c(model.config());
  c.norm_first();
  c.positions = learned_positions(c, 0);
  return forward_bart(inputs, model, component, c);
}

}  // namespace

void register_blenderbot(TasksManager& tasks) {
  register_bart_like(tasks, {.model_type = "blenderbot", .tasks = bart_tasks(), .forward = forward});
}

}  // namespace onnxport::models
