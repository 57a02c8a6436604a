// RoBERTa-PreLayerNorm. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/roberta_prelayernorm/modeling_roberta_prelayernorm.py
#include "models/common/definition.h"
#include "models/text_encoders/common/roberta.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_pre_norm_roberta(inputs, model, component,
                                {.prefix = "roberta_prelayernorm",
                                 .embeddings_norm = true,
                                 .attention_norm = "attention.LayerNorm",
                                 .output_norm = "intermediate.LayerNorm",
                                 .last_norm = "LayerNorm"});
}

}  // namespace

void register_roberta_prelayernorm(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "roberta-prelayernorm",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .key_names = tied("roberta_prelayernorm.embeddings.word_embeddings", "lm_head.decoder")});
}

}  // namespace onnxport::models
