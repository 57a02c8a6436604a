// DETR. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/detr/modeling_detr.py
#include "models/vision/common/detr.h"

#include "models/common/definition.h"
#include "models/vision/common/detector_backbone.h"

namespace onnxport::models {
namespace {

class DetrOnnxConfig : public VisionOnnxConfig {
 public:
  using VisionOnnxConfig::VisionOnnxConfig;
  AxesByName outputs() const override {
    if (task() != "image-segmentation") return VisionOnnxConfig::outputs();
    const Axes axes = {{0, "batch_size"}, {1, "num_queries"}};
    return {{"logits", axes}, {"pred_masks", axes}};
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const DetrConfig c(model.config());
  const Scope root = model.scope();
  const Scope detection = root.base_model("detr");
  const Scope base = detection.base_model("model");
  std::vector<Value> features;
  {
    const ModulePath at(inputs["pixel_values"], base.path());
    features = detector_backbone(tasks, base / "backbone" / "conv_encoder" / "model", model.config(),
                                 inputs["pixel_values"]);
  }
  const Detr detr(base, c, *features.back().dim(1).constant());
  const DetrResults r = detr(features);
  if (component.task == "feature-extraction") return {{"last_hidden_state", r.hidden}};

  // One extra label: no object.
  const nn::Linear classifier(detection / "class_labels_classifier", c.d_model, c.num_labels + 1);
  const Value logits = classifier(r.hidden);
  if (component.task == "object-detection")
    return {{"logits", logits},
            {"pred_boxes", detr_boxes(detection / "bbox_predictor", c.d_model, r.hidden)}};

  return {{"logits", logits}, {"pred_masks", detr_masks(root, model.config(), c, r)}};
}

}  // namespace

void register_detr(TasksManager& tasks) {
  tasks.register_model<DetrOnnxConfig>(
      {.model_type = "detr",
       .tasks = {"feature-extraction", "object-detection", "image-segmentation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model, const Component& component) {
         return forward(tasks, inputs, model, component);
       }});
}

}  // namespace onnxport::models
