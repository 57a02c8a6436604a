// ViT-MSN: a ViT that was trained as a masked siamese network. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/vit_msn/modeling_vit_msn.py
#include "models/vision/common/vit.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"

namespace onnxport::models {
namespace {

// Transformers 5 saves the encoder of a classifier without the prefix of the model.
KeyNames key_names(const Scope& root) {
  if ((root / "encoder").exists()) return {.newer = {{"vit.encoder.", "encoder."}}};
  return vit_key_names();
}

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  const Scope root = model.scope().with_newer(key_names(model.scope()));
  const Value hidden = encode_vit(root.base_model("vit"), config, inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  const ViTConfig c(config);
  const nn::Linear classifier(root / "classifier", c.hidden_size, c.num_labels);
  return {{"logits", classifier(nn::first_token(hidden))}};
}

}  // namespace

void register_vit_msn(TasksManager& tasks) {
  tasks.register_model<ViTOnnxConfig>({.model_type = "vit_msn",
                                       .tasks = {"feature-extraction", "image-classification"},
                                       .forward = forward,
                                       .ignorable_keys = {"*embeddings.mask_token"}});
}

}  // namespace onnxport::models
