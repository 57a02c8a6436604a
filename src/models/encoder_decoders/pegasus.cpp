// Pegasus: Marian with norms before attention and feed-forward. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/pegasus/modeling_pegasus.py
#include "models/encoder_decoders/common/bart.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  BartConfig c(model.config());
  c.norm_first();
  c.positions = sinusoidal_positions(c);
  return forward_bart(inputs, model, component, c);
}

}  // namespace

void register_pegasus(TasksManager& tasks) {
  register_bart_like(tasks, {.model_type = "pegasus", .tasks = bart_tasks(), .forward = forward});
}

}  // namespace onnxport::models
