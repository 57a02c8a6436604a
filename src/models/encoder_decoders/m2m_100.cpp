// M2M-100: mBART with sinusoidal positions that skip padding. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/m2m_100/modeling_m2m_100.py
#include "models/encoder_decoders/common/bart.h"
#include "onnxport/nn/seq2seq.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  BartConfig c(model.config());
  c.encoder.norm_before = c.decoder.norm_before = true;
  c.embedding_norm = false;
  c.final_norm = true;
  c.logits_bias = false;
  const std::int64_t pad = c.pad_token_id.value_or(1);
  c.positions = [rows = c.max_positions + 2, width = c.d_model,
                 pad](const Scope& side) -> BartConfig::Positions {
    return nn::SinusoidalPositions(side / "embed_positions", rows, width, pad);
  };
  return forward_bart(inputs, model, component, c);
}

}  // namespace

void register_m2m_100(TasksManager& tasks) {
  register_bart_like(tasks, {.model_type = "m2m_100", .tasks = nn::text2text_tasks(), .forward = forward});
}

}  // namespace onnxport::models
