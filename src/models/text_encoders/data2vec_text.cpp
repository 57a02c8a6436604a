// Data2VecText. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/data2vec/modeling_data2vec_text.py
// RoBERTa under another prefix.
#include "models/common/definition.h"
#include "models/text_encoders/common/roberta.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_roberta(inputs, model, component, "data2vec_text");
}

}  // namespace

void register_data2vec_text(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "data2vec-text",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .key_names = tied("data2vec_text.embeddings.word_embeddings", "lm_head.decoder")});
}

}  // namespace onnxport::models
