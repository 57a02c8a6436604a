// PLBART: BART with other defaults. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/plbart/modeling_plbart.py
#include "models/encoder_decoders/common/bart.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  BartConfig c(model.config());
  c.positions = learned_positions(c);
  return forward_bart(inputs, model, component, c);
}

}  // namespace

void register_plbart(TasksManager& tasks) {
  register_bart_like(tasks, {.model_type = "plbart", .tasks = nn::text2text_tasks(), .forward = forward});
}

}  // namespace onnxport::models
