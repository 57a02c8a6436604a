// XLM-RoBERTa-XL. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/xlm_roberta_xl/modeling_xlm_roberta_xl.py
#include "models/common/definition.h"
#include "models/text_encoders/common/roberta.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_pre_norm_roberta(inputs, model, component,
                                {.prefix = "roberta",
                                 .embeddings_norm = false,
                                 .attention_norm = "attention.self_attn_layer_norm",
                                 .output_norm = "LayerNorm",
                                 .last_norm = "encoder.LayerNorm"});
}

}  // namespace

void register_xlm_roberta_xl(TasksManager& tasks) {
  tasks.register_model<TextEncoderOnnxConfig>(
      {.model_type = "xlm-roberta-xl",
       .tasks = nn::text_encoder_tasks(),
       .forward = forward,
       .key_names = tied("roberta.embeddings.word_embeddings", "lm_head.decoder")});
}

}  // namespace onnxport::models
