// FlauBERT. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/flaubert/modeling_flaubert.py
#include "models/common/definition.h"
#include "models/text_encoders/common/xlm.h"
#include "onnxport/nn/text_tasks.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& c = model.config();
  c.harmless({"layerdrop"});  // only in training
  return build_xlm(inputs, model, component, c.flag("pre_norm") ? NormPlace::before : NormPlace::after);
}

}  // namespace

void register_flaubert(TasksManager& tasks) {
  tasks.register_model<XlmOnnxConfig>({.model_type = "flaubert",
                                       .tasks = nn::text_encoder_tasks(),
                                       .forward = forward,
                                       .key_names = tied("transformer.embeddings", "pred_layer.proj")});
}

}  // namespace onnxport::models
