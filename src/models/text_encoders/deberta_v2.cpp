// DeBERTa v2 and v3. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/deberta_v2/modeling_deberta_v2.py
#include "models/common/definition.h"
#include "models/text_encoders/common/deberta.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_deberta(inputs, model, component, DebertaVersion::second);
}

}  // namespace

void register_deberta_v2(TasksManager& tasks) {
  tasks.register_model<DebertaOnnxConfig>(
      {.model_type = "deberta-v2",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .ignorable_keys = {"lm_predictions.*", "mask_predictions.*"},
       .key_names = tied("deberta.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
