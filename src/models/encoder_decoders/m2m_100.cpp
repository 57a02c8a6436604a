// M2M-100: mBART with sinusoidal positions that skip padding. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/m2m_100/modeling_m2m_100.py
#include "models/encoder_decoders/common/bart.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  BartConfig c(model.config());
  c.norm_first();
  c.logits_bias = false;
  c.positions = counted_positions(c);
  return forward_bart(inputs, model, component, c);
}

}  // namespace

void register_m2m_100(TasksManager& tasks) {
  register_bart_like(tasks, {.model_type = "m2m_100", .tasks = nn::text2text_tasks(), .forward = forward});
}

}  // namespace onnxport::models
