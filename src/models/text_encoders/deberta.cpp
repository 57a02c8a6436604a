// DeBERTa. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/deberta/modeling_deberta.py
#include "models/text_encoders/common/deberta.h"
#include "models/common/definition.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_deberta(inputs, model, component, DebertaVersion::first);
}

}  // namespace

void register_deberta(TasksManager& tasks) {
  tasks.register_model<DebertaOnnxConfig>(
      {.model_type = "deberta",
       .tasks = {"feature-extraction", "fill-mask", "question-answering", "text-classification",
                 "token-classification"},
       .forward = forward,
       .ignorable_keys = {"lm_predictions.*", "mask_predictions.*"},
       .key_names = tied("deberta.embeddings.word_embeddings", "cls.predictions.decoder")});
}

}  // namespace onnxport::models
