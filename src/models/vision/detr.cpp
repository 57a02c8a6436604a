// DETR. Original:
// https://github.com/huggingface/transformers/blob/v4.57.6/src/transformers/models/detr/modeling_detr.py
#include "models/vision/common/detr.h"

#include "models/common/definition.h"

namespace onnxport::models {
namespace {

class DetrOnnxConfig : public DetectorOnnxConfig {
 public:
  using DetectorOnnxConfig::DetectorOnnxConfig;
  AxesByName outputs() const override {
    if (task() != "image-segmentation") return DetectorOnnxConfig::outputs();
    const Axes axes = {{0, "batch_size"}, {1, "num_queries"}};
    return {{"logits", axes}, {"pred_masks", axes}};
  }
};

NamedValues forward(const TasksManager& tasks, const Inputs& inputs, const Model& model,
                    const Component& component) {
  const DetrConfig c(model.config());
  const Scope root = model.scope();
  const Scope detection = root.base_model("detr");
  const DetrResults r = run_detr(tasks, inputs, model, detection.base_model("model"), c);
  NamedValues outputs = detr_outputs(detection, c, r, component);
  if (component.task == "image-segmentation")
    outputs.back() = {"pred_masks", detr_masks(root, model.config(), c, r)};
  return outputs;
}

KeyNames newer_names() {
  return {.newer = {{"backbone.conv_encoder", "backbone"},
                    {"out_proj", "o_proj"},
                    {"layers.*.fc1", "layers.*.mlp.fc1"},
                    {"layers.*.fc2", "layers.*.mlp.fc2"},
                    {"bbox_attention.q_linear", "bbox_attention.q_proj"},
                    {"bbox_attention.k_linear", "bbox_attention.k_proj"},
                    {"mask_head.lay1", "mask_head.conv1.conv"},
                    {"mask_head.gn1", "mask_head.conv1.norm"},
                    {"mask_head.lay2", "mask_head.conv2.conv"},
                    {"mask_head.gn2", "mask_head.conv2.norm"},
                    {"mask_head.adapter1", "mask_head.fpn_stages.0.fpn_adapter"},
                    {"mask_head.lay3", "mask_head.fpn_stages.0.refine.conv"},
                    {"mask_head.gn3", "mask_head.fpn_stages.0.refine.norm"},
                    {"mask_head.adapter2", "mask_head.fpn_stages.1.fpn_adapter"},
                    {"mask_head.lay4", "mask_head.fpn_stages.1.refine.conv"},
                    {"mask_head.gn4", "mask_head.fpn_stages.1.refine.norm"},
                    {"mask_head.adapter3", "mask_head.fpn_stages.2.fpn_adapter"},
                    {"mask_head.lay5", "mask_head.fpn_stages.2.refine.conv"},
                    {"mask_head.gn5", "mask_head.fpn_stages.2.refine.norm"},
                    {"mask_head.out_lay", "mask_head.output_conv"}}};
}

}  // namespace

void register_detr(TasksManager& tasks) {
  tasks.register_model<DetrOnnxConfig>(
      {.model_type = "detr",
       .tasks = {"feature-extraction", "object-detection", "image-segmentation"},
       .forward = [&tasks](const Inputs& inputs, const Model& model,
                           const Component& component) { return forward(tasks, inputs, model, component); },
       .key_names = newer_names()});
}

}  // namespace onnxport::models
