// Blenderbot Small: BART whose decoder normalizes words before it adds positions. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/blenderbot_small/modeling_blenderbot_small.py
#include "models/encoder_decoders/common/bart.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  BartConfig c(model.config());
  c.decoder_scale = 1;  // only the encoder's words are scaled
  c.decoder_embedding = BartConfig::EmbeddingNorm::of_words;
  c.positions = learned_positions(c, 0);
  return forward_bart(inputs, model, component, c);
}

}  // namespace

void register_blenderbot_small(TasksManager& tasks) {
  register_bart_like(tasks, {.model_type = "blenderbot-small", .tasks = bart_tasks(), .forward = forward});
}

}  // namespace onnxport::models
