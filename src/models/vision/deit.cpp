// DeiT: a ViT with a second learned token, trained with a teacher. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/deit/modeling_deit.py
#include <algorithm>

#include "models/vision/common/vit.h"
#include "onnxport/nn/basic.h"
#include "onnxport/nn/text_encoder.h"

namespace onnxport::models {

Value encode_deit(const Scope& s, const PretrainedConfig& config, Value pixel_values) {
  return encode_vit(s, config, pixel_values, {{"cls_token"}, {"distillation_token"}});
}

namespace {

NamedValues forward(const Inputs& inputs, const Model& model, const Component& component) {
  const PretrainedConfig& config = model.config();
  config.harmless({"encoder_stride"});  // of masked-im alone
  const Scope root = model.scope();
  const Value hidden = encode_deit(root.base_model("deit"), config, inputs["pixel_values"]);
  if (component.task == "feature-extraction") return {{"last_hidden_state", hidden}};
  if (component.task == "masked-im") {
    // Transformers 4 drops the first token and the last one, as if the second learned token came after the
    // patches.
    const bool newer = config.transformers_major() >= 5;
    const Value patches =
        newer ? op::slice(hidden, 1, 2, hidden.dim(1)) : op::slice(hidden, 1, 1, hidden.dim(1) - 1);
    return {{"reconstruction", reconstruct_image(root, config, patches)}};
  }
  const ViTConfig c(config);
  const Value cls = nn::first_token(hidden);
  const std::vector<std::string> classes = config.architectures();
  if (std::find(classes.begin(), classes.end(), "DeiTForImageClassificationWithTeacher") == classes.end())
    return {{"logits", nn::Linear(root / "classifier", c.hidden_size, c.num_labels)(cls)}};
  const nn::Linear of_cls(root / "cls_classifier", c.hidden_size, c.num_labels);
  const nn::Linear of_teacher(root / "distillation_classifier", c.hidden_size, c.num_labels);
  const Value by_cls = of_cls(cls);
  const Value by_teacher = of_teacher(op::select(hidden, 1, 1));
  return {{"logits", op::div(op::add(by_cls, by_teacher), 2.0)}};
}

}  // namespace

void register_deit(TasksManager& tasks) {
  tasks.register_model<ViTOnnxConfig>({.model_type = "deit",
                                       .tasks = {"feature-extraction", "image-classification", "masked-im"},
                                       .forward = forward,
                                       .ignorable_keys = {"*embeddings.mask_token", "*pooler.dense.*"},
                                       .key_names = vit_key_names()});
}

}  // namespace onnxport::models
