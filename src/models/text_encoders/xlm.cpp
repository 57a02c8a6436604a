// XLM. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/xlm/modeling_xlm.py
#include "models/text_encoders/common/xlm.h"
#include "models/common/definition.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  return build_xlm(inputs, model, component, NormPlace::after);
}

}  // namespace

void register_xlm(TasksManager& tasks) {
  tasks.register_model<XlmOnnxConfig>({.model_type = "xlm",
                                       .tasks = nn::text_encoder_tasks(),
                                       .forward = forward,
                                       .key_names = tied("transformer.embeddings", "pred_layer.proj")});
}

}  // namespace onnxport::models
