// I-JEPA: a ViT without a class token. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/ijepa/modeling_ijepa.py
#include "models/vision/common/vit.h"
#include "onnxport/nn/basic.h"

namespace onnxport::models {
namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Scope root = model.scope();
  const Value hidden = encode_vit(root.base_model("ijepa"), config, inputs["pixel_values"], {});
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const ViTConfig c(config);
  const nn::Linear classifier(root / "classifier", c.hidden_size, c.num_labels);
  return {{"logits", classifier(op::mean(hidden, 1))}};
}

}  // namespace

void register_ijepa(TasksManager& tasks) {
  tasks.register_model<ViTOnnxConfig>({.model_type = "ijepa",
                                       .tasks = {"feature-extraction", "image-classification"},
                                       .forward = forward,
                                       .ignorable_keys = {"*embeddings.mask_token", "*pooler.dense.*"},
                                       .key_names = vit_key_names()});
}

}  // namespace onnxport::models
