// Marian: BART with sinusoidal positions. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/marian/modeling_marian.py
#include "models/encoder_decoders/common/bart.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  BartConfig c(model.config());
  c.encoder_embedding = c.decoder_embedding = BartConfig::EmbeddingNorm::none;
  c.one_vocabulary = model.config().flag("share_encoder_decoder_embeddings", true);
  c.positions = sinusoidal_positions(c);
  return forward_bart(inputs, model, component, c);
}

}  // namespace

void register_marian(TasksManager& tasks) {
  register_bart_like(tasks, {.model_type = "marian", .tasks = bart_tasks(), .forward = forward});
}

}  // namespace onnxport::models
